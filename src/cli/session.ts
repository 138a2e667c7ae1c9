import type { DescService } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Client, createSlipway, keyed } from "../client/index.ts";
import { EXIT } from "./exit-codes.ts";
import { failureOf } from "./failure.ts";
import type { CliIo } from "./io.ts";
import { type Output, outputOf, tellFailure } from "./output.ts";
import { type Progress, progressOf } from "./progress.ts";
import {
  type Capacity,
  type CommonOptions,
  requireToken,
  resolveSettings,
  type Settings,
} from "./settings.ts";
import { storedToken } from "./sign-in/stored-session.ts";

const TIMEOUT_DEFAULT_S = 60;
const TIMEOUT_MAX_S = 86_400;

/** What a command works with. */
export interface Session {
  readonly io: CliIo;
  readonly settings: Settings;
  readonly output: Output;
  readonly progress: Progress;
  /** A generated client. Each call ends with the user's interrupt and with --timeout. */
  client<S extends DescService>(service: S): Client<S>;
  /** A key by which the server knows a repeat of one call; also marks the call as repeatable. */
  keyed(key?: string): { readonly headers: Record<string, string> };
}

export interface SessionOptions {
  readonly capacity?: Capacity;
  /** For commands that work without a token. */
  readonly tokenless?: boolean;
}

/** Adds the options that every command has. */
export function withCommonOptions(command: Command): Command {
  return command
    .option("--api-url <url>", "control plane (also SLIPWAY_API_URL)")
    .option("--token-file <file>", "file with an access token, - for standard input (also SLIPWAY_TOKEN)")
    .addOption(
      new Option("--output <format>", "how results are printed")
        .choices(["text", "json", "csv"])
        .default("text"),
    )
    .option("--timeout <seconds>", "longest wait for the control plane", parseSeconds, TIMEOUT_DEFAULT_S);
}

/** Runs a command: settings, work, and on failure its words and exit status. `work` may return an exit status of its own. */
export async function run(
  io: CliIo,
  options: CommonOptions,
  work: (session: Session) => Promise<number> | Promise<void>,
  sessionOptions: SessionOptions = {},
): Promise<void> {
  const progress = progressOf(io);
  const status = await statusOf(io, options, progress, async () => {
    const settings = await resolveSettings(io, options, sessionOptions.capacity ?? "user");
    if (sessionOptions.tokenless !== true) requireToken(settings);
    return (await work(sessionOf(io, options, settings, progress))) ?? EXIT.OK;
  });
  if (status !== EXIT.OK) io.exit(status);
}

async function statusOf(
  io: CliIo,
  options: CommonOptions,
  progress: Progress,
  work: () => Promise<number>,
): Promise<number> {
  try {
    return await work();
  } catch (thrown) {
    progress.end();
    const failure = failureOf(thrown);
    const interrupted = { ...failure, code: "CANCELLED", message: "Interrupted." } as const;
    return tellFailure(io, options.output, io.interrupted.aborted ? interrupted : failure);
  } finally {
    progress.end();
  }
}

export function sessionOf(
  io: CliIo,
  options: CommonOptions,
  settings: Settings,
  progress: Progress,
): Session {
  const slipway = createSlipway({
    baseUrl: settings.apiUrl,
    token: settings.refreshes ? storedToken(io, settings.apiUrl) : settings.token,
    timeoutMs: options.timeout * 1_000,
    signal: io.interrupted,
    fetch: io.fetch,
    sleep: io.clock.sleep,
  });
  return {
    io,
    settings,
    output: outputOf(io, options.output),
    progress,
    client: slipway.client,
    keyed: (key = io.random.uuid()) => keyed(key),
  };
}

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (Number.isFinite(seconds) && seconds > 0 && seconds <= TIMEOUT_MAX_S) return seconds;
  throw new InvalidArgumentError(`Give seconds, above 0 and at most ${TIMEOUT_MAX_S}.`);
}
