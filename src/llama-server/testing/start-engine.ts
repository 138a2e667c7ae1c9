/** Starts the real engine process as a driver does, with the tiny model, and stops it when the test file ends. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { tinyGguf } from "../../engines/llama-cpp/tiny-gguf.ts";

export interface TestEngine {
  readonly url: string;
  readonly key: string;
  readonly pid: number;
  /** Everything that it logged so far. */
  log(): string;
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
  /** Fetches with the key; a body is sent as JSON by POST. */
  fetch(path: string, body?: unknown, init?: RequestInit): Promise<Response>;
  post(path: string, body: unknown): Promise<{ status: number; body: Answer }>;
  stop(): Promise<void>;
}

/** Answers are read loosely here: what they must hold is what tests assert. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads deep into JSON that it then asserts on
export type Answer = any;

export const KEY = "test-engine-key-0123456789";

export interface TestEngineOptions {
  readonly seed?: number;
  readonly weights?: Buffer;
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Resolves when the address is told; rejects with the log when the process ends before. */
export async function startEngine(options: TestEngineOptions = {}): Promise<TestEngine> {
  const folder = mkdtempSync(join(tmpdir(), "slipway-engine-"));
  chmodSync(folder, 0o755); // the engine may run as another user
  const weights = join(folder, "tiny.gguf");
  writeFileSync(weights, options.weights ?? tinyGguf({ seed: options.seed ?? 1 }), { mode: 0o644 });
  const child = spawn(process.execPath, [join(import.meta.dirname, "../main.ts")], {
    stdio: ["pipe", "pipe", "pipe", "pipe"],
    env: {},
    cwd: "/",
  });
  let logged = "";
  for (const output of [child.stdout, child.stderr]) {
    output?.setEncoding("utf8").on("data", (text: string) => {
      logged += text;
    });
  }
  const exited = new Promise<number | null>((resolve) => {
    child.on("close", (code) => {
      rmSync(folder, { recursive: true, force: true });
      resolve(code);
    });
  });
  child.stdin?.end(JSON.stringify(configFor(weights, options)));
  const port = await Promise.race([readPort(child), exited.then(() => undefined)]);
  if (port === undefined) throw new Error(`the engine ended before it was ready:\n${logged}`);
  return testEngine(child, port, exited, () => logged);
}

function configFor(weights: string, options: TestEngineOptions) {
  return {
    name: "replica-under-test",
    servedNames: ["tiny", "tiny-alias"],
    engineKey: KEY,
    weightsFiles: [weights],
    host: "127.0.0.1",
    port: 0,
    options: { threads: 1, batchTokens: 64, embeddingTokens: 512, prefixCache: true },
    contextTokens: 1_024,
    sequencesMax: 3,
    unclaimedExitMs: 0,
    uid: 0,
    gid: 0,
    ...options.config,
  };
}

async function readPort(child: ChildProcess): Promise<number | undefined> {
  const address = child.stdio[3] as Readable;
  let text = "";
  for await (const chunk of address) text += String(chunk);
  return text === "" ? undefined : Number(JSON.parse(text).port);
}

function testEngine(
  child: ChildProcess,
  port: number,
  exited: Promise<number | null>,
  log: () => string,
): TestEngine {
  const url = `http://127.0.0.1:${port}`;
  const request = (path: string, body?: unknown, init: RequestInit = {}) =>
    fetch(url + path, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        authorization: `Bearer ${KEY}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...init,
    });
  return {
    url,
    key: KEY,
    pid: child.pid ?? 0,
    log,
    exited,
    kill: (signal) => void child.kill(signal),
    fetch: request,
    async post(path, body) {
      const response = await request(path, body);
      return { status: response.status, body: await response.json() };
    },
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** The data of a whole event stream, in order, without `[DONE]`. Throws when the stream does not end with it. */
export async function eventsOf(response: Response): Promise<Answer[]> {
  const text = await response.text();
  const data = text
    .split("\n")
    .filter((line) => line.startsWith("data: "))
    .map((line) => line.slice(6));
  if (data.pop() !== "[DONE]") throw new Error(`the stream did not end with [DONE]: ${text.slice(-200)}`);
  return data.map((line) => JSON.parse(line));
}
