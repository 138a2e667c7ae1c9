/** The command line in this process: its streams, its folders, its clock; and a control plane that answers what a test says. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable, Writable } from "node:stream";
import type { ConnectRouter } from "@connectrpc/connect";
import { Command } from "commander";
import type { Cleanup } from "../../../test/support/cleanup.ts";
import type { Clock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { systemRandom } from "../../base/random.ts";
import { StatusError } from "../../base/status.ts";
import type { Principal, Role } from "../../identity/index.ts";
import { createRpcServer, type Idempotency } from "../../rpc/index.ts";
import { addWireCommands, type CliIo } from "../index.ts";

export const START = new Date("2026-03-01T10:00:00Z");
export const USER_ID = "11111111-1111-4111-8111-111111111111";
export const USER_TOKEN = `swt_${"user".repeat(10)}`;
export const ADMIN_TOKEN = `swt_${"boss".repeat(10)}`;
const SECRETS = [USER_TOKEN, ADMIN_TOKEN];

/** Waiting takes no time and moves the clock on. */
export interface VirtualClock extends Clock {
  readonly slept: readonly number[];
}

export function virtualClock(): VirtualClock {
  let elapsedMs = 0;
  const slept: number[] = [];
  return {
    slept,
    now: () => new Date(START.getTime() + elapsedMs),
    monotonicMs: () => elapsedMs,
    async sleep(ms, signal) {
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted) throw signal.reason;
      elapsedMs += ms;
      slept.push(ms);
    },
  };
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout, parsed. */
  json(): unknown;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string | Readable;
  readonly isTty?: Partial<CliIo["isTty"]>;
  readonly interrupted?: AbortSignal;
  readonly fetch?: typeof fetch;
  /** The user's browser; there is none otherwise. */
  readonly openBrowser?: CliIo["openBrowser"];
  readonly clock?: Clock;
  /** Hears what is written to stdout while the command runs. */
  readonly onOutput?: (text: string) => void;
  /** Hears what is written to stderr while the command runs. */
  readonly onError?: (text: string) => void;
  /** Called when a question is put on stderr. */
  readonly onPrompt?: () => void;
  /** Secrets are meant to be in this one's output. */
  readonly showsSecrets?: boolean;
}

export interface Cli {
  readonly configDir: string;
  readonly installationDir: string;
  /** Runs one command line to its end. No planted token may show in what it prints. */
  run(args: readonly string[], options?: RunOptions): Promise<Ran>;
}

class Exit extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`exit ${status}`);
    this.status = status;
  }
}

export async function cli(t: Cleanup, env: Readonly<Record<string, string>> = {}): Promise<Cli> {
  const home = await mkdtemp(join(tmpdir(), "slipway-cli-"));
  t.after(() => rm(home, { recursive: true, force: true }));
  const configDir = join(home, "config");
  const installationDir = join(home, "installation");
  return {
    configDir,
    installationDir,
    async run(args, options = {}) {
      const stdout = collector(options.onOutput);
      const stderr = collector((text) => {
        if (text.endsWith("> ")) options.onPrompt?.();
        options.onError?.(text);
      });
      if (options.isTty?.stderr) Object.assign(stderr.stream, { isTTY: true, columns: 120 });
      const io: CliIo = {
        stdin: typeof options.stdin === "object" ? options.stdin : Readable.from([options.stdin ?? ""]),
        stdout: stdout.stream,
        stderr: stderr.stream,
        isTty: { stdin: false, stdout: false, stderr: false, ...options.isTty },
        env: { ...env, ...options.env },
        configDir,
        installationDir,
        fetch: options.fetch ?? fetch,
        openBrowser: options.openBrowser ?? (async () => false),
        clock: options.clock ?? virtualClock(),
        random: systemRandom,
        interrupted: options.interrupted ?? new AbortController().signal,
        exit: (status) => {
          throw new Exit(status);
        },
      };
      const status = await statusOf(io, args);
      const ran = { status, stdout: stdout.text(), stderr: stderr.text() };
      if (!options.showsSecrets) {
        for (const secret of SECRETS)
          assert.ok(!(ran.stdout + ran.stderr).includes(secret), `a token shows: ${args}`);
      }
      return { ...ran, json: (): unknown => JSON.parse(ran.stdout) };
    },
  };
}

async function statusOf(io: CliIo, args: readonly string[]): Promise<number> {
  const program = new Command("slipway");
  addWireCommands(program, io);
  try {
    await program.parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof Exit) return error.status;
    throw error;
  }
}

function collector(onText?: (text: string) => void): { stream: Writable; text(): string } {
  let all = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      all += chunk.toString("utf8");
      onText?.(chunk.toString("utf8"));
      done();
    },
  });
  return { stream, text: () => all };
}

/** What a person types, line by line, when the test says. */
export function typist(): { stream: Readable; type(line: string): void; leave(): void } {
  const stream = new PassThrough();
  return { stream, type: (line) => void stream.write(`${line}\n`), leave: () => void stream.end() };
}

export interface ControlPlane {
  readonly url: string;
  /** Environment of a command line that speaks to it as the user. */
  readonly env: Readonly<Record<string, string>>;
}

/** The real edge on a free port, over handlers that the test gives. */
export async function controlPlane(
  t: Cleanup,
  routes: (router: ConnectRouter) => void,
  idempotency?: Idempotency,
): Promise<ControlPlane> {
  const server = createRpcServer({
    ctx: {
      clock: { ...virtualClock(), sleep: () => new Promise(() => {}) },
      random: systemRandom,
      log: silentLog,
    },
    routes: [routes],
    authenticate: async (_ctx, bearer) => principalBy(bearer),
    ...(idempotency ? { idempotency } : {}),
    openApi: "{}",
    version: "test",
    health: () => ({ ok: true, facts: {} }),
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(async () => {
    const closed = server.close();
    // A client may have opened a connection and never asked on it; the server would wait for it.
    server.app.server.closeAllConnections();
    await closed;
  });
  const url = `http://127.0.0.1:${port}`;
  return { url, env: { SLIPWAY_API_URL: url, SLIPWAY_TOKEN: USER_TOKEN } };
}

function principalBy(bearer: string): Principal {
  const roles: Readonly<Record<string, Role>> = { [USER_TOKEN]: "USER", [ADMIN_TOKEN]: "SUPER_ADMIN" };
  const role = roles[bearer];
  if (role) return { userId: USER_ID, role, tokenId: "t", scopes: [] };
  throw new StatusError({
    code: "UNAUTHENTICATED",
    reason: "TOKEN_INVALID",
    message: "The access token is unknown.",
  });
}
