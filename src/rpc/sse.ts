/** Server streaming over REST: server-sent events, one JSON message each. Source: the HTML standard's event stream format. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import type { JsonValue } from "@bufbuild/protobuf";
import type { Clock } from "../base/clock.ts";
import type { StatusError } from "../base/status.ts";
import { toStatusJson } from "./status-wire.ts";

/** Often enough for proxies that close idle connections after 30 s or more. */
export const HEARTBEAT_MS = 15_000;

/** How long the first message is awaited before the headers go out: until then a refusal is still an ordinary error answer. */
export const HEADER_DELAY_MS = 1_000;

export interface EventStream {
  readonly messages: AsyncIterator<JsonValue>;
  readonly response: ServerResponse;
  readonly headers: Readonly<Record<string, string>>;
  readonly clock: Clock;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
  readonly errorOf: (thrown: unknown) => StatusError;
}

type Step = IteratorResult<JsonValue> | "silence";

/**
 * Writes messages until they end or the client leaves, with a comment when nothing was written for a while. Throws what the
 * source throws before the headers are out; later an error is the last event, named `error`.
 */
export async function writeEvents(stream: EventStream): Promise<void> {
  const { messages, response, headers, signal } = stream;
  let next = messages.next();
  let step: Step = await waitFor(next, HEADER_DELAY_MS, stream.clock);
  response.writeHead(200, {
    ...headers,
    "content-type": "text/event-stream; charset=utf-8",
    "x-accel-buffering": "no",
  });
  try {
    for (;;) {
      if (step === "silence") await write(response, ": still here\n\n", signal);
      else if (step.done) break;
      else {
        await write(response, `data: ${JSON.stringify(step.value)}\n\n`, signal);
        next = messages.next();
      }
      step = await waitFor(next, HEARTBEAT_MS, stream.clock);
    }
  } catch (thrown) {
    if (!signal.aborted) {
      await write(
        response,
        `event: error\ndata: ${JSON.stringify(toStatusJson(stream.errorOf(thrown)))}\n\n`,
        signal,
      );
    }
  } finally {
    response.end();
  }
}

async function waitFor(next: Promise<IteratorResult<JsonValue>>, ms: number, clock: Clock): Promise<Step> {
  const timer = new AbortController();
  const silence = clock.sleep(ms, timer.signal).then((): Step => "silence");
  try {
    return await Promise.race([next, silence]);
  } finally {
    timer.abort();
    silence.catch(() => undefined);
  }
}

/** Waits while the client reads slower than we write, so that at most one socket buffer is held for it. */
async function write(response: ServerResponse, text: string, signal: AbortSignal): Promise<void> {
  if (response.write(text) || signal.aborted) return;
  await once(response, "drain", { signal });
}
