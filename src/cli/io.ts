import type { Readable, Writable } from "node:stream";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";

/** The world of the command line, handed in: a test gives it streams, an environment and an exit of its own. */
export interface CliIo {
  readonly stdin: Readable;
  /** Results only: what a script reads. */
  readonly stdout: Writable;
  /** Progress, questions, errors. */
  readonly stderr: Writable;
  /** Which of the streams are terminals. */
  readonly isTty: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder of the command line's own settings. */
  readonly configDir: string;
  /** Folder of the installation on this machine, where the quickstart leaves its addresses and tokens. */
  readonly installationDir: string;
  readonly fetch: typeof fetch;
  /** Shows a page to the user; false where there is no browser. */
  openBrowser(url: string): Promise<boolean>;
  readonly clock: Clock;
  readonly random: Random;
  /** Aborts when the user interrupts the program (SIGINT, SIGTERM). */
  readonly interrupted: AbortSignal;
  /** Ends the program with this status; never returns. */
  exit(status: number): never;
}
