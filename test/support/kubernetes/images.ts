/** What a test kubelet runs for an image: programs of this machine, seen from a root folder of the container's own. */
import { fileURLToPath } from "node:url";

/** This source tree. */
export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

export interface TestImage {
  /** Run before the container's args where it names no command. */
  readonly entrypoint?: readonly string[];
  /** Folders of this machine by the path at which the container sees them. */
  readonly folders?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** The command line as this machine has it. */
  rewrite?(argv: readonly string[]): readonly string[];
}

/** The image of a name; undefined where no registry has it, so that the pull fails. */
export type Images = (image: string) => TestImage | undefined;

/** Slipway's own image: this source tree at /app, with the compiled files' names leading to their sources. */
export const slipwayImage: TestImage = {
  folders: { "/app": ROOT },
  entrypoint: ["node", "/app/src/main/cli.ts"],
  rewrite: (argv) =>
    argv.map((one) => {
      if (one === "node") return process.execPath;
      return one.replaceAll(/\/app\/dist\/(src\/[\w/-]+)\.js/g, "/app/$1.ts");
    }),
};
