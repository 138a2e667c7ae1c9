/**
 * One request on its way through: sent to a replica, its answer passed on, its usage taken from the engine's own numbers and
 * written down before the last bytes go out. It ends exactly once, whoever goes first.
 */
import type { ServerResponse } from "node:http";
import type { StatusError } from "../base/status.ts";
import { type Usage, usageOf } from "../engines/usage.ts";
import type { GatewayLimits } from "./limits.ts";
import { envelope, failureOf, refused } from "./openai-error.ts";
import { rawChunks } from "./raw-chunks.ts";
import { countEvents, EventSplitter, hasDone, sift, Tail } from "./sse.ts";
import type { AnswerHead } from "./upstream/answer-head.ts";
import { ChunkFollower } from "./upstream/chunks.ts";
import { type Exchange, NotSentError } from "./upstream/connection.ts";
import type { Pool, Sent } from "./upstream/pool.ts";

/** How a request ended, for its usage record. */
export interface Ending {
  readonly outcome: "ok" | "client_gone" | "upstream_error" | "rejected";
  /** The engine's own numbers; undefined when it told none. */
  readonly usage: Usage | undefined;
  /** Events that were read, for the estimate where the engine told nothing. */
  readonly events: number;
  readonly ttftMs: number | null;
}

export interface RelayInput {
  readonly pool: Pool;
  readonly head: string;
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly requestId: string;
  /** The client asked for a stream. */
  readonly stream: boolean;
  /** Every byte passes, usage frame included. */
  readonly wantsUsage: boolean;
  /** A usage frame can be told by its tail; else events are read whole. */
  readonly rawPossible: boolean;
  readonly extraHeaders: Readonly<Record<string, string>>;
  readonly limits: GatewayLimits;
  now(): number;
  /** Writes the usage down; the last bytes wait for `done`. */
  ending(ending: Ending, done: (error: Error | undefined) => void): void;
  /** The replica never saw the request: another may be tried. True when the caller takes it from here. */
  retry(): boolean;
  /** The relay is over, for the books of what is running. */
  finished(well: boolean): void;
}

type Mode = "whole" | "raw" | "events";

const JSON_TYPE = "application/json";
/** An answer that is not streamed is held whole, for its usage; embeddings of a full batch are the largest. */
const ANSWER_MAX_BYTES = 64 * 2 ** 20;

export class Relay implements Exchange {
  readonly #in: RelayInput;
  readonly #startedAt: number;
  #sent: Sent | undefined;
  #mode: Mode = "whole";
  #head: AnswerHead | undefined;
  #unframed: ChunkFollower | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #tail = new Tail();
  #splitter = new EventSplitter();
  #usage: Usage | undefined;
  #events = 0;
  #lastByteAt: number;
  #firstByteAt: number | undefined;
  #gone: { readonly at: number; readonly events: number } | undefined;
  #over = false;

  constructor(input: RelayInput) {
    this.#in = input;
    this.#startedAt = input.now();
    this.#lastByteAt = this.#startedAt;
  }

  start(): void {
    this.#sent = this.#in.pool.send(this.#in.head, this.#in.body, this);
  }

  onHead(head: AnswerHead): void {
    this.#head = head;
    // The connection's own follower has read a piece before it comes here; this one reads it for the payload.
    this.#unframed = head.length < 0 ? new ChunkFollower() : undefined;
    const streams = head.status === 200 && head.contentType.startsWith("text/event-stream");
    if (!streams) this.#mode = "whole";
    else
      this.#mode =
        this.#in.wantsUsage &&
        this.#in.rawPossible &&
        head.length < 0 &&
        rawChunks.possible(this.#in.response)
          ? "raw"
          : "events";
  }

  onData(piece: Buffer): void {
    this.#lastByteAt = this.#in.now();
    this.#firstByteAt ??= this.#lastByteAt;
    if (this.#mode === "raw") this.#rawData(piece);
    else if (this.#mode === "events") this.#payload(piece, (part) => this.#eventData(part));
    else this.#payload(piece, (part) => this.#hold(Buffer.from(part)));
    if (this.#gone && this.#events - this.#gone.events > this.#in.limits.hangUpTokens)
      this.#cut("client_gone");
  }

  onEnd(): void {
    if (this.#over) return;
    if (this.#mode === "whole") this.#wholeEnd();
    else this.#streamEnd();
  }

  onFailure(error: Error): void {
    if (this.#over) return;
    if (error instanceof NotSentError && !this.#gone && !this.#in.response.headersSent && this.#in.retry()) {
      this.#over = true;
      this.#in.finished(false);
      return;
    }
    this.#fail(refused("ENGINE_FAILED", "The model's engine did not finish this answer. Try again."));
  }

  /** The client went away: what the engine still tells within a moment is taken for the books. */
  clientGone(): void {
    if (this.#over || this.#gone) return;
    this.#gone = { at: this.#in.now(), events: this.#events };
    this.#sent?.connection().resume();
  }

  /** Looks at the clock; called a few times a second. */
  tick(now: number): void {
    if (this.#over) return;
    const { limits } = this.#in;
    const connecting = this.#sent !== undefined && !this.#sent.connection().connected;
    if (this.#gone && now - this.#gone.at > limits.hangUpMs) this.#cut("client_gone");
    else if (connecting && now - this.#startedAt > limits.connectMs) {
      this.#sent?.abort();
      this.onFailure(new NotSentError("connect took too long"));
    } else if (now - this.#startedAt > limits.totalMs || now - this.#lastByteAt > this.#silenceMs()) {
      this.#sent?.abort();
      this.#fail(
        refused("DEADLINE", "The model's engine took too long to answer. Ask for less, or try again."),
      );
    }
  }

  #silenceMs(): number {
    return this.#firstByteAt === undefined ? this.#in.limits.firstByteMs : this.#in.limits.idleMs;
  }

  #payload(piece: Buffer, take: (part: Buffer) => void): void {
    if (this.#unframed) this.#unframed.follow(piece, (from, to) => take(piece.subarray(from, to)));
    else take(piece);
  }

  #rawData(piece: Buffer): void {
    this.#tail.push(piece);
    this.#events += countEvents(piece);
    const last = this.#sent?.connection().follower?.done === true || hasDone(piece);
    if (last || this.#held.length > 0) this.#hold(piece);
    else this.#write(piece);
  }

  #eventData(payload: Buffer): void {
    const events = this.#splitter.push(payload);
    if (events === undefined) return;
    this.#events += countEvents(events);
    const sifted = sift(events, !this.#in.wantsUsage);
    this.#usage = sifted.usage ?? this.#usage;
    if (sifted.bytes.length === 0) return;
    // From the usage on everything is the end of the answer, and waits until the usage is written down.
    if (this.#usage !== undefined || this.#held.length > 0 || hasDone(sifted.bytes))
      this.#hold(Buffer.from(sifted.bytes));
    else this.#write(sifted.bytes);
  }

  #write(bytes: Buffer): void {
    if (this.#gone) return;
    const { response } = this.#in;
    if (!response.headersSent) this.#writeHead();
    if (response.write(bytes)) return;
    const connection = this.#sent?.connection();
    connection?.pause();
    response.once("drain", () => connection?.resume());
  }

  #writeHead(length?: number): void {
    const { response, requestId, extraHeaders } = this.#in;
    const head = this.#head;
    const headers: Record<string, string | number> = {
      "content-type": head?.contentType || JSON_TYPE,
      "slipway-request-id": requestId,
      ...extraHeaders,
    };
    if (head?.retryAfter) headers["retry-after"] = head.retryAfter;
    if (length !== undefined) headers["content-length"] = length;
    else headers["cache-control"] = "no-cache";
    if (this.#mode === "raw") rawChunks.writeHead(response, head?.status ?? 200, headers);
    else response.writeHead(head?.status ?? 200, headers);
  }

  #hold(bytes: Buffer): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > ANSWER_MAX_BYTES) {
      this.#sent?.abort();
      this.#fail(refused("ENGINE_FAILED", "The model's engine answered more than can be passed on."));
    }
  }

  #wholeEnd(): void {
    const body = this.#held.length === 1 && this.#held[0] ? this.#held[0] : Buffer.concat(this.#held);
    const status = this.#head?.status ?? 502;
    if (status === 503 && !this.#gone && this.#in.retry()) {
      this.#over = true;
      this.#in.finished(true); // it answered: leaving is not failing
      return;
    }
    const usage = status === 200 ? usageOfBody(body) : undefined;
    const outcome = this.#gone
      ? "client_gone"
      : status < 400
        ? "ok"
        : status < 500
          ? "rejected"
          : "upstream_error";
    this.#end({ outcome, usage }, status < 500, () => {
      this.#writeHead(body.length);
      this.#in.response.end(body);
    });
  }

  #streamEnd(): void {
    const rest = this.#mode === "events" ? this.#splitter.rest() : undefined;
    if (rest) this.#hold(rest);
    const usage = this.#mode === "raw" ? this.#tail.usage() : this.#usage;
    this.#end({ outcome: this.#gone ? "client_gone" : "ok", usage }, true, () => {
      if (!this.#in.response.headersSent) this.#writeHead();
      for (const bytes of this.#held) this.#in.response.write(bytes);
      this.#in.response.end();
    });
  }

  /** The engine is cut off: the client is gone for good. */
  #cut(outcome: "client_gone"): void {
    this.#sent?.abort();
    const usage = this.#mode === "raw" ? this.#tail.usage() : this.#usage;
    this.#end({ outcome, usage }, true, () => {});
  }

  #fail(error: StatusError): void {
    this.#end({ outcome: this.#gone ? "client_gone" : "upstream_error", usage: undefined }, false, () =>
      this.#tellFailure(error),
    );
  }

  #tellFailure(error: StatusError): void {
    const { response } = this.#in;
    if (!response.headersSent) {
      answerError(response, error, this.#in.requestId);
      return;
    }
    const event = `data: ${envelope(error)}\n\n`;
    if (this.#mode !== "raw") response.end(event);
    else if (this.#sent?.connection().follower?.atBoundary) rawChunks.end(response, event);
    else response.destroy(); // within a chunk of the engine's there is no place for a word of ours
  }

  #end(told: Pick<Ending, "outcome" | "usage">, well: boolean, release: () => void): void {
    if (this.#over) return;
    this.#over = true;
    const ttftMs = this.#firstByteAt === undefined ? null : Math.round(this.#firstByteAt - this.#startedAt);
    this.#in.ending({ ...told, events: this.#events, ttftMs }, (error) => {
      this.#in.finished(well);
      if (this.#gone || this.#in.response.destroyed) return;
      if (error === undefined) release();
      else
        this.#tellFailure(
          refused("UNAVAILABLE", "The answer could not be accounted for. Try again.", {
            retryAfterMs: 1_000,
          }),
        );
    });
  }
}

/** Writes a whole error answer. */
export function answerError(response: ServerResponse, error: StatusError, requestId: string): void {
  if (response.headersSent || response.destroyed) return;
  const failure = failureOf(error);
  const body = envelope(error);
  response.writeHead(failure.status, {
    "content-type": JSON_TYPE,
    "content-length": Buffer.byteLength(body),
    "slipway-request-id": requestId,
    ...(error.retryAfterMs === undefined
      ? {}
      : { "retry-after": String(Math.max(1, Math.ceil(error.retryAfterMs / 1_000))) }),
  });
  response.end(body);
}

function usageOfBody(body: Buffer): Usage | undefined {
  try {
    return usageOf(JSON.parse(body.toString("utf8")));
  } catch {
    return undefined;
  }
}
