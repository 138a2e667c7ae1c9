/** Programs of a test cluster: started in process groups of their own, ended with it, and by the guard when the test crashes. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const GUARD = fileURLToPath(new URL("guard.ts", import.meta.url));
/** A program that does not end on SIGTERM is killed. */
const STOP_MAX_MS = 5_000;
/** Last words in an error. */
const TAIL_CHARS = 1_500;

export interface Processes {
  /** Starts a program with its output in a file; its exit shows in `ended`. */
  start(file: string, args: readonly string[], logFile: string): Started;
  /** A process group that the guard shall know about. */
  watch(child: ChildProcess): void;
  /** Of the programs that were started. */
  pids(): number[];
  /** Ends the programs, the newest first, and then takes the folders away. */
  close(): Promise<void>;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  /** The end of its output. */
  lastWords(): Promise<string>;
}

/** Programs whose files lie in `folder`, which goes with them. */
export function createProcesses(folder: string): Processes {
  const guard = spawn(process.execPath, [GUARD], { stdio: ["pipe", "ignore", "inherit"], detached: true });
  guard.unref();
  guard.stdin.on("error", () => {}); // a guard that was killed protects no more; the test goes on
  guard.stdin.write(`${folder}\n`);
  const all: Started[] = [];
  const watch = (child: ChildProcess) => {
    if (child.pid === undefined) return;
    guard.stdin.write(`+${child.pid}\n`);
    child.once("exit", () => guard.stdin.write(`-${child.pid}\n`));
  };
  return {
    watch,
    start(file, args, logFile) {
      const started = start(file, args, logFile);
      watch(started.child);
      all.push(started);
      return started;
    },
    pids: () => all.flatMap(({ child }) => child.pid ?? []),
    async close() {
      for (let one = all.pop(); one !== undefined; one = all.pop()) await stop(one);
      guard.ref();
      const gone = new Promise((resolve) => guard.once("exit", resolve));
      guard.stdin.end();
      await gone;
    },
  };
}

function start(file: string, args: readonly string[], logFile: string): Started {
  const log = openSync(logFile, "a");
  const child = spawn(file, args, { stdio: ["ignore", log, log], detached: true });
  closeSync(log);
  const ended = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
  const lastWords = async () => (await readFile(logFile, "utf8").catch(() => "")).slice(-TAIL_CHARS);
  return { child, ended, lastWords };
}

async function stop({ child, ended }: Started): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), STOP_MAX_MS);
  await ended;
  clearTimeout(late);
}
