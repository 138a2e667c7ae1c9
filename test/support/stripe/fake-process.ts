/** The stand-in as a process beside a program that is killed. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Cleanup, undoAfter } from "../cleanup.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));

export interface FakeProcess {
  readonly url: string;
  /** What only cardholders, banks and tests do: see `control` in fake-stripe.ts. */
  does(what: string, params?: Readonly<Record<string, string>>): Promise<Record<string, unknown>>;
}

export async function fakeProcess(t: Cleanup): Promise<FakeProcess> {
  const child = spawn(process.execPath, [MAIN], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  undoAfter(t, async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("close", () => reject(new Error("the stand-in ended")));
  });
  const { url } = JSON.parse(line) as { url: string };
  return {
    url,
    async does(what, params = {}) {
      const body = new URLSearchParams(params);
      const answer = await fetch(`${url}/_fake/${what}`, { method: "POST", body });
      return (await answer.json()) as Record<string, unknown>;
    },
  };
}
