/**
 * The few calls of the Kubernetes API that the driver makes. Written here rather than taken from the official client: that brings a
 * dozen packages for logins and shells into the process that holds every key, for a handful of plain HTTP routes.
 */
import { Agent, type Dispatcher, request } from "undici";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { Credentials } from "./credentials.ts";
import { noAnswer, refusal } from "./refusal.ts";

export interface Ask {
  readonly method?: "GET" | "POST" | "PATCH" | "DELETE";
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
}

export interface StreamHow extends Pick<Ask, "query" | "accept"> {
  /** Silence after which it is taken for broken; absent: it may be silent for ever. */
  readonly silenceMaxMs?: number;
}

export interface KubeClient {
  /** The answer's JSON. Throws a StatusError; NOT_FOUND for 404. Waits out rate limits and short failures. */
  ask(ctx: BaseCtx, path: string, how?: Ask): Promise<unknown>;
  /** The answer's bytes as they come: logs, watches. */
  stream(ctx: BaseCtx, path: string, how: StreamHow): Promise<AsyncIterable<Buffer>>;
  close(): Promise<void>;
}

/** One call; the API server itself gives up after a minute. */
const CALL_MS = 15_000;
/** More objects than a page has are fetched page by page. */
const BODY_BYTES_MAX = 64 * 2 ** 20;
/** Tries of one call: a server that restarts is back within these, and more are the reconciler's. */
const TRIES_MAX = 4;
const RETRY_FIRST_MS = 250;
/** A server that asks for a longer pause is told to the caller instead. */
const RETRY_AFTER_MAX_MS = 10_000;
/** Watches hold four of them. */
const CONNECTIONS_MAX = 16;

/** `region` names the place in errors. Credentials are read at the first call, so that a broken place hurts nobody else. */
export function kubeClient(region: string, credentials: (ctx: BaseCtx) => Promise<Credentials>): KubeClient {
  let opened: Promise<{ credentials: Credentials; agent: Agent }> | undefined;
  const open = (ctx: BaseCtx) => {
    opened ??= credentials(ctx).then((found) => ({ credentials: found, agent: agentOf(found) }));
    opened.catch(() => {
      opened = undefined;
    });
    return opened;
  };
  return {
    ask: (ctx, path, how = {}) => retrying(ctx, async () => read(ctx, region, await open(ctx), path, how)),
    async stream(ctx, path, { silenceMaxMs = 0, ...how }) {
      const { body } = await send(ctx, region, await open(ctx), path, how, 0, silenceMaxMs);
      return body;
    },
    async close() {
      const now = await opened?.catch(() => undefined);
      await now?.agent.destroy();
    },
  };
}

type Opened = { readonly credentials: Credentials; readonly agent: Agent };

function agentOf({ ca, client }: Credentials): Agent {
  return new Agent({
    connections: CONNECTIONS_MAX,
    // Watches end by being cut off, each with its connection; as streams of a shared one they would take others along.
    allowH2: false,
    connect: { ...(ca === undefined ? {} : { ca }), ...client, timeout: CALL_MS },
  });
}

async function read(ctx: BaseCtx, region: string, opened: Opened, path: string, how: Ask): Promise<unknown> {
  const { body } = await send(ctx, region, opened, path, how, CALL_MS);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      size += chunk.length;
      if (size > BODY_BYTES_MAX) throw new Error("the answer is too large");
      chunks.push(chunk);
    }
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (cause) {
    throw noAnswer(region, cause);
  }
}

async function send(
  ctx: BaseCtx,
  region: string,
  { credentials, agent }: Opened,
  path: string,
  how: Ask,
  timeoutMs: number,
  silenceMaxMs = timeoutMs,
): Promise<Dispatcher.ResponseData> {
  const token = await credentials.token(ctx);
  const headers = {
    accept: how.accept ?? "application/json",
    ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
    ...(how.body === undefined ? {} : { "content-type": how.contentType ?? "application/json" }),
  };
  const limit = timeoutMs > 0 ? [AbortSignal.timeout(timeoutMs)] : [];
  const response = await request(`${credentials.server}${path}`, {
    method: how.method ?? "GET",
    query: how.query ?? {},
    headers,
    dispatcher: agent,
    signal: AbortSignal.any([...(ctx.signal ? [ctx.signal] : []), ...limit]),
    headersTimeout: CALL_MS,
    // A log that nobody writes to stays open.
    bodyTimeout: silenceMaxMs,
    ...(how.body === undefined ? {} : { body: JSON.stringify(how.body) }),
  }).catch((cause: unknown) => {
    if (ctx.signal?.aborted) throw cause;
    throw noAnswer(region, cause);
  });
  if (response.statusCode < 300) return response;
  const retryAfter = Number(response.headers["retry-after"]);
  const text = (await response.body.text().catch(() => "")).slice(0, 16_384);
  throw refusal(
    region,
    response.statusCode,
    text,
    Number.isFinite(retryAfter) ? retryAfter * 1_000 : undefined,
  );
}

async function retrying<T>(ctx: BaseCtx, call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call();
    } catch (error) {
      const pause = pauseAfter(error, tries);
      if (pause === undefined || ctx.signal?.aborted) throw error;
      await ctx.clock.sleep(pause, ctx.signal);
    }
  }
}

/** Everything that the driver sends may be sent twice, so all that is not a definite answer is tried again. */
function pauseAfter(error: unknown, tries: number): number | undefined {
  if (!(error instanceof StatusError) || tries >= TRIES_MAX) return undefined;
  if (error.code !== "UNAVAILABLE" && error.reason !== "RATE_LIMITED") return undefined;
  const wanted = error.retryAfterMs ?? RETRY_FIRST_MS * 2 ** (tries - 1);
  return wanted <= RETRY_AFTER_MAX_MS ? wanted : undefined;
}
