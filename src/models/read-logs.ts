/** What a model's engines wrote, with every secret of the model taken out. */
import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import type { Attempt } from "./model.ts";
import type { ModelsDeps } from "./ports.ts";
import { driverOf } from "./reconcile/calls.ts";
import { openApiKey, openEngineKey, openHfToken } from "./secrets.ts";
import { type ModelWithSpec, selectModel } from "./store/models.ts";
import { selectLiveAttempts } from "./store/queue.ts";
import { requireVisible, type WishInput } from "./wish.ts";

export interface LogsInput extends WishInput {
  /** Last lines of each replica; 0 means 200. */
  readonly tailLines: number;
  /** Only this replica; "" for all. */
  readonly replica: string;
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

export interface LogLine {
  readonly replica: string;
  readonly line: string;
}

const TAIL_DEFAULT = 200;
/** Longest line that is passed on. */
const LINE_LENGTH_MAX = 16_384;

/**
 * Lines of each replica in order; with `follow` those of all replicas as they are written, until the signal aborts. Throws
 * MODEL_NOT_FOUND, LOGS_UNAVAILABLE (no replica was started, or none of that name).
 */
export async function* readLogs(ctx: DbCtx, deps: ModelsDeps, input: LogsInput): AsyncGenerator<LogLine> {
  const found = requireVisible(ctx, await selectModel(ctx, input.modelId), input);
  const attempts = (await selectLiveAttempts(ctx, [input.modelId])).filter(
    (attempt) => input.replica === "" || attempt.name === input.replica,
  );
  if (attempts.length === 0) throw noLogs(input.replica);
  const redact = redactor(deps, found, attempts);
  const sources = attempts.map((attempt) => linesOf(ctx, deps, attempt, input, redact));
  if (input.follow) yield* merged(sources);
  else for (const source of sources) yield* source;
}

async function* linesOf(
  ctx: DbCtx,
  deps: ModelsDeps,
  attempt: Attempt,
  input: LogsInput,
  redact: (line: string) => string,
): AsyncGenerator<LogLine> {
  const driver = driverOf(deps, attempt.driver);
  if (!driver) return;
  const tailLines = input.tailLines === 0 ? TAIL_DEFAULT : input.tailLines;
  const follow = input.follow && attempt.closedAt === null;
  const lines = driver.logs({ ...ctx, signal: input.signal }, attempt.name, { tailLines, follow });
  for await (const line of lines) {
    if (input.signal.aborted) return;
    yield { replica: attempt.name, line: redact(line.slice(0, LINE_LENGTH_MAX)) };
  }
}

/** Items of all sources as they come. Leaving it ends every source. */
async function* merged<T>(sources: readonly AsyncGenerator<T>[]): AsyncGenerator<T> {
  const waiting = new Map<
    AsyncGenerator<T>,
    Promise<{ source: AsyncGenerator<T>; result: IteratorResult<T> }>
  >();
  const advance = (source: AsyncGenerator<T>) =>
    waiting.set(
      source,
      source.next().then((result) => ({ source, result })),
    );
  for (const source of sources) advance(source);
  try {
    while (waiting.size > 0) {
      const { source, result } = await Promise.race(waiting.values());
      waiting.delete(source);
      if (result.done) continue;
      advance(source);
      yield result.value;
    }
  } finally {
    await Promise.allSettled(sources.map((source) => source.return(undefined)));
  }
}

function redactor(
  deps: ModelsDeps,
  found: ModelWithSpec,
  attempts: readonly Attempt[],
): (line: string) => string {
  const { model, spec } = found;
  const secrets = [
    openApiKey(deps, model.id, spec.apiKeySealed),
    openHfToken(deps, model.id, spec.hfTokenSealed),
    ...attempts.map((attempt) => openEngineKey(deps, attempt)),
  ].filter((secret) => secret !== "");
  return (line) => secrets.reduce((text, secret) => text.replaceAll(secret, "[redacted]"), line);
}

function noLogs(replica: string): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "LOGS_UNAVAILABLE",
    message:
      replica === ""
        ? "No replica of this model was started yet, so there is no log."
        : `There is no log of a replica ${replica} of this model.`,
  });
}
