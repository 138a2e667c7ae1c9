/** The program itself as a child process, as an operator runs it: own home, own database, free ports. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Cleanup, undoAfter } from "./cleanup.ts";

export const CLI = fileURLToPath(new URL("../../src/main/cli.ts", import.meta.url));
const READY_TIMEOUT_MS = 60_000;
const EXIT_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;

export interface Program {
  readonly child: ChildProcess;
  /** Everything that it wrote so far. */
  output(): string;
  /** Resolves with the exit status, or the signal's name. */
  readonly ended: Promise<number | string>;
}

export type Env = Readonly<Record<string, string>>;

/** Runs `slipway …` with only the given environment; it is stopped when the test ends. */
export function program(t: Cleanup, args: readonly string[], env: Env): Program {
  const child = spawn(process.execPath, ["--max-semi-space-size=64", CLI, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let output = "";
  const keep = (chunk: Buffer) => {
    output += chunk.toString("utf8");
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const ended = new Promise<number | string>((resolve) => {
    child.once("close", (code, signal) => resolve(code ?? signal ?? "unknown"));
  });
  undoAfter(t, async () => {
    // It is asked first: what it started with itself (an embedded Postgres) goes with it.
    child.kill("SIGTERM");
    const patience = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(patience);
  });
  return { child, output: () => output, ended };
}

export interface Addresses {
  readonly apiUrl: string;
  readonly gatewayUrl: string;
}

/** Starts `slipway serve` and waits until it listens. */
export async function serving(
  t: Cleanup,
  env: Env,
  roles = "all",
): Promise<Program & { readonly addresses: Addresses }> {
  const running = program(t, ["serve", "--role", roles], env);
  const lines = createInterface({ input: running.child.stdout ?? process.stdin });
  const addresses = await Promise.race([
    (async () => {
      for await (const line of lines) {
        if (line.startsWith("listening ")) return JSON.parse(line.slice("listening ".length)) as Addresses;
      }
      throw new Error(`serve ended before it listened:\n${running.output()}`);
    })(),
    timeout(READY_TIMEOUT_MS, () => `serve did not listen:\n${running.output()}`),
  ]);
  return { ...running, addresses };
}

/** Runs a command to its end. */
export async function command(
  t: Cleanup,
  args: readonly string[],
  env: Env,
  input = "",
): Promise<{ status: number | string; output: string }> {
  const running = program(t, args, env);
  running.child.stdin?.end(input);
  const status = await Promise.race([running.ended, timeout(EXIT_TIMEOUT_MS, () => running.output())]);
  return { status, output: running.output() };
}

/** A home folder of the test's own. */
export async function testHome(t: Cleanup): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "slipway-home-"));
  await chmod(home, 0o755); // engines run as another user and must be able to enter
  undoAfter(t, () => rm(home, { recursive: true, force: true }));
  return home;
}

function timeout(ms: number, why: () => string): Promise<never> {
  return new Promise((_, reject) => setTimeout(() => reject(new Error(`timed out: ${why()}`)), ms).unref());
}
