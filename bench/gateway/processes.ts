/** Child processes of a measurement: pinned to a core, read in /proc, and gone with us. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";

/** Kernel ticks a second; the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4_096;
const READY_MS = 20_000;

export interface Cost {
  readonly cpuSeconds: number;
  readonly residentMib: number;
}

export class Processes {
  readonly #children: ChildProcess[] = [];

  /** Starts a program on one core. Its standard input is ours to close, its standard output ours to read. */
  start(core: number, command: readonly string[], options: { readonly ipc?: boolean } = {}): ChildProcess {
    const child = spawn("taskset", ["-c", String(core), ...command], {
      stdio: ["pipe", "pipe", "inherit", ...(options.ipc ? (["ipc"] as const) : [])],
    });
    this.#children.push(child);
    return child;
  }

  /** Ends what was started, last first. */
  async stop(): Promise<void> {
    for (const child of this.#children.splice(0).reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await ended;
      clearTimeout(late);
    }
  }
}

/** CPU time and memory of a process and all below it. */
export function costOf(pid: number): Cost {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in brackets may hold blanks; the fields are counted after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const own = {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    residentMib: (Number(fields[21]) * PAGE_BYTES) / 2 ** 20,
  };
  return childrenOf(pid).map(costOf).reduce(sum, own);
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
}

function sum(one: Cost, other: Cost): Cost {
  return {
    cpuSeconds: one.cpuSeconds + other.cpuSeconds,
    residentMib: one.residentMib + other.residentMib,
  };
}

/** The first line that a program writes. Rejects when it ends before. */
export function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout?.on("data", (piece: Buffer) => {
      text += piece.toString("utf8");
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${child.spawnargs.join(" ")} ended with ${code}`)));
  });
}

/** A port that was free a moment ago, for programs that can't pick one. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** Resolves once somebody listens on the port. */
export async function listening(port: number): Promise<void> {
  const until = performance.now() + READY_MS;
  while (!(await accepts(port))) {
    if (performance.now() > until) throw new Error(`nobody listens on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
