/** Runs one short system command to its end; rejects with what it said. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);
/** These commands set up a mount or an address; they take milliseconds. */
const COMMAND_MAX_MS = 20_000;

export async function shell(file: string, args: readonly string[]): Promise<string> {
  return (await run(file, args, { timeout: COMMAND_MAX_MS })).stdout;
}
