/** HTTP to Lambda's API: one request after the other at its pace, short failures and rate limits waited out. */
import { readFile } from "node:fs/promises";
import { Agent, type Dispatcher, request } from "undici";
import { z } from "zod";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { LambdaConfig } from "./config.ts";
import { noAnswer, rateLimited, refusal } from "./refusal.ts";

export interface Ask {
  readonly method?: "GET" | "POST";
  readonly body?: unknown;
  /** False: an unclear answer is told, not tried again. For calls whose second go would have a second effect. */
  readonly repeatable?: boolean;
}

export interface LambdaClient {
  /** The `data` of the answer. Throws a StatusError; UNAVAILABLE where nobody knows whether the call had its effect. */
  ask(ctx: BaseCtx, path: string, how?: Ask): Promise<unknown>;
  /** The items of a list, of all its pages. Half a list is an error: what is missing in one counts as absent. */
  list(ctx: BaseCtx, path: string): Promise<readonly unknown[]>;
  close(): Promise<void>;
}

/** One call. A launch that is given up too soon is an unclear one. */
const READ_MS = 6_000;
const WRITE_MS = 20_000;
const CONNECT_MS = 5_000;
/** An account has some hundred machines at most, each with some KB. */
const BODY_BYTES_MAX = 16 * 2 ** 20;
/** Tries of one call that may be repeated; more are the reconciler's. */
const TRIES_MAX = 3;
const RETRY_FIRST_MS = 500;
/** A longer pause is told to the caller instead. */
const RETRY_AFTER_MAX_MS = 12_000;
/** Lambda takes one request a second of an account. */
export const REQUEST_PAUSE_MS = 1_000;
/** Requests that wait for their turn; what comes on top has no chance within its caller's deadline. */
const WAITING_MAX = 20;
const KEY_LENGTH_MAX = 4_096;

export function lambdaClient(
  config: Pick<LambdaConfig, "apiKeyFile" | "endpoint">,
  options: { readonly pauseMs?: number; readonly callMaxMs?: number } = {},
): LambdaClient {
  const agent = new Agent({ connections: 2, connect: { timeout: CONNECT_MS } });
  const turn = pacer(options.pauseMs ?? REQUEST_PAUSE_MS);
  const wire: Wire = { agent, turn, endpoint: config.endpoint, callMaxMs: options.callMaxMs ?? WRITE_MS };
  const once = async (ctx: BaseCtx, path: string, how: Ask) => {
    const key = await keyIn(config.apiKeyFile);
    await turn.next(ctx);
    return send(ctx, wire, path, key, how);
  };
  return {
    ask: async (ctx, path, how = {}) => (await retrying(ctx, how, () => once(ctx, path, how))).data,
    async list(ctx, path) {
      const items: unknown[] = [];
      let query = "";
      for (let pages = 0; pages < PAGES_MAX; pages++) {
        const answer = await retrying(ctx, {}, () => once(ctx, `${path}${query}`, {}));
        const { success, data } = listSchema.safeParse(answer.data);
        if (!success) throw noAnswer(new Error("no list"));
        items.push(...data);
        if (!answer.page_token) return items;
        query = `?page_token=${encodeURIComponent(answer.page_token)}`;
      }
      throw noAnswer(new Error("the list does not end"));
    },
    close: () => agent.destroy(),
  };
}

interface Pacer {
  /** Resolves when a request may go out. Throws RATE_LIMITED when too many wait. */
  next(ctx: BaseCtx): Promise<void>;
  /** Nothing goes out for so long. */
  hold(ctx: BaseCtx, ms: number): void;
}

/** Requests of this process, evenly apart. Other processes of the same account are heard of by Lambda's 429. */
function pacer(pauseMs: number): Pacer {
  let freeAt = 0;
  let waiting = 0;
  return {
    async next(ctx) {
      if (waiting >= WAITING_MAX) throw rateLimited(WAITING_MAX * pauseMs);
      const now = ctx.clock.monotonicMs();
      const mine = Math.max(now, freeAt);
      freeAt = mine + pauseMs;
      if (mine <= now) return;
      waiting++;
      await ctx.clock.sleep(mine - now, ctx.signal).finally(() => waiting--);
    },
    hold(ctx, ms) {
      freeAt = Math.max(freeAt, ctx.clock.monotonicMs() + ms);
    },
  };
}

async function keyIn(file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw unusableKey("can't be read", cause);
  });
  const key = text.trim();
  if (/^[\x21-\x7e]+$/.test(key) && key.length <= KEY_LENGTH_MAX) return key;
  throw unusableKey("does not hold one key and nothing else");
}

function unusableKey(what: string, cause?: unknown): StatusError {
  return new StatusError({
    code: "UNAUTHENTICATED",
    reason: "PLACE_UNAVAILABLE",
    message: `The file that lambda.apiKeyFile names ${what}.`,
    cause,
  });
}

/** Lists came whole when this was written; some speak of pages. */
const answerSchema = z.object({ data: z.unknown(), page_token: z.string().nullish() });
type Answer = z.infer<typeof answerSchema>;
const listSchema = z.array(z.unknown());
/** An account has some hundred machines at most. */
const PAGES_MAX = 50;

interface Wire {
  readonly agent: Dispatcher;
  readonly turn: Pacer;
  readonly endpoint: string;
  readonly callMaxMs: number;
}

async function send(ctx: BaseCtx, wire: Wire, path: string, key: string, how: Ask): Promise<Answer> {
  const timeout = AbortSignal.timeout(Math.min(how.method === "POST" ? WRITE_MS : READ_MS, wire.callMaxMs));
  const unclear = (cause: unknown) => {
    throw ctx.signal?.aborted ? cause : noAnswer(cause);
  };
  const response = await request(`${wire.endpoint}${path}`, {
    method: how.method ?? "GET",
    headers: {
      accept: "application/json",
      authorization: `Bearer ${key}`,
      ...(how.body === undefined ? {} : { "content-type": "application/json" }),
    },
    dispatcher: wire.agent,
    signal: ctx.signal ? AbortSignal.any([ctx.signal, timeout]) : timeout,
    ...(how.body === undefined ? {} : { body: JSON.stringify(how.body) }),
  }).catch(unclear);
  const text = await textOf(response.body).catch(unclear);
  if (response.statusCode < 300) return answerIn(text);
  const error = refusal(response.statusCode, text, retryAfter(response.headers));
  if (error.reason === "RATE_LIMITED") wire.turn.hold(ctx, error.retryAfterMs ?? REQUEST_PAUSE_MS);
  throw error;
}

/** `Retry-After` in seconds, else the reset of `RateLimit` or `RateLimit-Reset`. */
function retryAfter(headers: Readonly<Record<string, string | string[] | undefined>>): number | undefined {
  const told = [
    String(headers["retry-after"] ?? ""),
    /\bt=(\d+)/.exec(String(headers.ratelimit ?? ""))?.[1] ?? "",
    String(headers["ratelimit-reset"] ?? ""),
  ].find((text) => /^\d+(\.\d+)?$/.test(text));
  return told === undefined ? undefined : Number(told) * 1_000;
}

async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > BODY_BYTES_MAX) throw new Error("the answer is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function answerIn(text: string): Answer {
  try {
    return answerSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw noAnswer(cause);
  }
}

async function retrying<T>(ctx: BaseCtx, how: Ask, call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call();
    } catch (error) {
      const pause = pauseAfter(error, how, tries);
      if (pause === undefined || ctx.signal?.aborted) throw error;
      await ctx.clock.sleep(pause, ctx.signal);
    }
  }
}

/** A rate limit did nothing, so every call may come again after it; other failures only where twice is once. */
function pauseAfter(error: unknown, { repeatable = true }: Ask, tries: number): number | undefined {
  if (!(error instanceof StatusError) || tries >= TRIES_MAX) return undefined;
  const limited = error.reason === "RATE_LIMITED";
  if (!limited && (error.code !== "UNAVAILABLE" || !repeatable)) return undefined;
  const wanted = error.retryAfterMs ?? RETRY_FIRST_MS * 2 ** (tries - 1);
  return wanted <= RETRY_AFTER_MAX_MS ? wanted : undefined;
}
