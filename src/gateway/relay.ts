/**
 * One request on its way through: sent to a replica, its answer passed on, its usage taken from the engine's own numbers and
 * written down before the last bytes go out. It ends exactly once, whoever goes first.
 */
import type { ServerResponse } from "node:http";
import type { StatusError } from "../base/status.ts";
import type { Usage } from "../engines/usage.ts";
import type { GatewayLimits } from "./limits.ts";
import { envelope, failureOf, refused } from "./openai-error.ts";
import { Outlet } from "./outlet.ts";
import { EventStreamPassage } from "./passages/event-stream.ts";
import type { Passage } from "./passages/passage.ts";
import { RawStreamPassage } from "./passages/raw-stream.ts";
import { WholePassage } from "./passages/whole.ts";
import type { AnswerHead } from "./upstream/answer-head.ts";
import { type Exchange, NotSentError } from "./upstream/connection.ts";
import type { Pool, Sent } from "./upstream/pool.ts";
import type { Written } from "./usage-log/usage-log.ts";

/** How a request ended, for its usage record. */
export interface Ending {
  readonly outcome: "ok" | "client_gone" | "upstream_error" | "rejected";
  /** The engine's own numbers; undefined when it told none. */
  readonly usage: Usage | undefined;
  /** Events that were read, for the estimate where the engine told no usage; 0 where it did. */
  readonly events: number;
  /** An engine may have seen the request. */
  readonly reached: boolean;
  readonly ttftMs: number | null;
}

/** What an exchange says of its replica; a client that went away early says nothing. */
export type Verdict = "well" | "failed" | "unknown";

/** Whose request it is, and who keeps its books. */
export interface RelayOwner {
  readonly response: ServerResponse;
  readonly requestId: string;
  /** Answer headers of ours. */
  readonly headers: Readonly<Record<string, string>>;
  /** Every byte passes, usage frame included. */
  readonly wantsUsage: boolean;
  /** The answer repeats nothing of the client's: usage can be told by its look. */
  readonly ownWords: boolean;
  readonly limits: GatewayLimits;
  /** Monotonic time at which the answer must be there. */
  readonly deadlineAt: number;
  now(): number;
  /** Writes the usage down; the last bytes wait for `relay.written`. */
  ended(relay: Relay, ending: Ending): void;
  /** The replica did not take the request: another may be tried. True when the owner takes it from here. */
  retry(): boolean;
  /** The relay is over, for the books of what is running; `error`: what broke it, where something did. */
  over(relay: Relay, verdict: Verdict, error?: Error): void;
}

export class Relay implements Exchange, Written {
  /** Its place among the running. */
  place = 0;
  readonly #owner: RelayOwner;
  readonly #outlet: Outlet;
  readonly #startedAt: number;
  #sent: Sent | undefined;
  #head: AnswerHead | undefined;
  #passage: Passage | undefined;
  #lastByteAt: number;
  #firstByteAt: number | undefined;
  #gone: { readonly at: number; readonly events: number } | undefined;
  #over = false;
  #reached = true;
  #verdict: Verdict = "unknown";
  #error: Error | undefined;
  /** What is told instead of the rest of the answer. */
  #failure: StatusError | undefined;

  constructor(owner: RelayOwner) {
    this.#owner = owner;
    this.#outlet = new Outlet(owner.response, owner.headers);
    this.#startedAt = owner.now();
    this.#lastByteAt = this.#startedAt;
  }

  start(pool: Pool, head: string, body: Buffer): void {
    try {
      this.#sent = pool.send(head, body, this);
      this.#outlet.source = this.#sent;
    } catch (cause) {
      // An address that can't be one: nothing was sent.
      this.onFailure(new NotSentError("the replica's address is of no use", { cause }));
    }
  }

  onHead(head: AnswerHead): void {
    this.#head = head;
    this.#passage = this.#passageOf(head);
  }

  onData(piece: Buffer, last: boolean): void {
    this.#lastByteAt = this.#owner.now();
    this.#firstByteAt ??= this.#lastByteAt;
    const passage = this.#passage;
    passage?.take(Buffer.from(piece), last);
    if (!last && this.#gone && (passage?.events ?? 0) - this.#gone.events >= this.#owner.limits.hangUpTokens)
      this.#cut();
  }

  onEnd(): void {
    if (this.#over) return;
    const status = this.#head?.status ?? 502;
    if (status === 503 && !this.#gone && this.#owner.retry()) {
      this.#over = true;
      this.#owner.over(this, "well"); // it answered: leaving is not failing
      return;
    }
    // The key between us and the engine is our business: the client's own was good.
    if (status === 401 || status === 403) this.#fail(engineFailed(), "failed");
    else this.#end(this.#gone ? "client_gone" : outcomeOf(status), status < 500 ? "well" : "failed");
  }

  onFailure(error: Error): void {
    if (this.#over) return;
    this.#reached = !(error instanceof NotSentError);
    if (!this.#reached && !this.#gone && this.#owner.retry()) {
      this.#over = true;
      this.#owner.over(this, "failed", error);
      return;
    }
    this.#error = error;
    this.#fail(this.#reached ? engineFailed() : unreachable(), "failed");
  }

  /** The client went away: what the engine still tells within a moment is taken for the books. */
  clientGone(): void {
    if (this.#over || this.#gone) return;
    this.#gone = { at: this.#owner.now(), events: this.#passage?.events ?? 0 };
    this.#outlet.gone = true;
    this.#sent?.resume();
  }

  /** Looks at the clock; called a few times a second. */
  tick(now: number): void {
    if (this.#over) return;
    const { limits, deadlineAt } = this.#owner;
    if (this.#gone && now - this.#gone.at >= limits.hangUpMs) this.#cut();
    else if (this.#sent?.connecting === true && now - this.#startedAt >= limits.connectMs) {
      this.#sent.abort();
      this.onFailure(new NotSentError("connect took too long"));
    } else if (now >= deadlineAt || now - this.#lastByteAt >= this.#silenceMs()) {
      this.#sent?.abort();
      // Nobody but a silent replica has failed: not one that was still speaking, and not one that a slow client holds up.
      const spoke = now - this.#lastByteAt < this.#silenceMs() || this.#outlet.isFull;
      this.#fail(late(), spoke ? "unknown" : "failed");
    }
  }

  /** The usage is on the disk, or can't be put there: then the answer, which nobody could account for, is not given. */
  written(error: Error | undefined): void {
    this.#owner.over(this, this.#verdict, this.#error);
    if (this.#outlet.gone || this.#owner.response.destroyed) return;
    if (error !== undefined) this.#failure = unaccounted();
    if (this.#failure) this.#tellFailure(this.#failure);
    else this.#passage?.release();
  }

  #passageOf(head: AnswerHead): Passage {
    const { wantsUsage, ownWords } = this.#owner;
    const streams = head.status === 200 && head.contentType.startsWith("text/event-stream");
    if (!streams) return new WholePassage(this.#outlet, head, ownWords);
    if (wantsUsage && ownWords && head.length < 0 && this.#outlet.rawPossible)
      return new RawStreamPassage(this.#outlet, head, () => this.#sent?.atBoundary === true);
    return new EventStreamPassage(this.#outlet, head, !wantsUsage);
  }

  #silenceMs(): number {
    return this.#firstByteAt === undefined ? this.#owner.limits.firstByteMs : this.#owner.limits.idleMs;
  }

  /** The engine is cut off: the client is gone for good. */
  #cut(): void {
    this.#reached = this.#sent?.connecting === false;
    this.#sent?.abort();
    this.#end("client_gone", this.#firstByteAt === undefined ? "unknown" : "well");
  }

  #fail(error: StatusError, verdict: Verdict): void {
    this.#failure = error;
    this.#end(this.#gone ? "client_gone" : "upstream_error", verdict);
  }

  #end(outcome: Ending["outcome"], verdict: Verdict): void {
    if (this.#over) return;
    this.#over = true;
    this.#verdict = verdict;
    const ttftMs = this.#firstByteAt === undefined ? null : Math.round(this.#firstByteAt - this.#startedAt);
    // Of an answer that broke off before anything went out nobody has had a word, so nothing is counted.
    const passage = this.#failure && !this.#outlet.begun ? undefined : this.#passage;
    const usage = passage?.usage();
    this.#owner.ended(this, {
      outcome,
      usage,
      events: usage === undefined ? (passage?.events ?? 0) : 0,
      reached: this.#reached,
      ttftMs,
    });
  }

  #tellFailure(error: StatusError): void {
    const { response, requestId } = this.#owner;
    if (!this.#outlet.begun) answerError(response, error, requestId);
    else this.#passage?.breakOff(`data: ${envelope(error)}\n\n`);
  }
}

function outcomeOf(status: number): Ending["outcome"] {
  if (status < 400) return "ok";
  return status < 500 ? "rejected" : "upstream_error";
}

/** No replica took the request. */
export function unreachable(): StatusError {
  return refused("MODEL_NOT_READY", "No replica of this model can be reached at the moment. Try again.", {
    retryAfterMs: 1_000,
  });
}

function engineFailed(): StatusError {
  return refused("ENGINE_FAILED", "The model's engine did not finish this answer. Try again.");
}

function late(): StatusError {
  return refused("DEADLINE", "The model's engine took too long to answer. Ask for less, or try again.");
}

function unaccounted(): StatusError {
  return refused("UNAVAILABLE", "The answer could not be accounted for. Try again.", { retryAfterMs: 1_000 });
}

/** Writes a whole error answer. */
export function answerError(response: ServerResponse, error: StatusError, requestId: string): void {
  if (response.headersSent || response.destroyed) return;
  const body = envelope(error);
  response.writeHead(failureOf(error).status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "slipway-request-id": requestId,
    ...(error.retryAfterMs === undefined
      ? {}
      : { "retry-after": String(Math.max(1, Math.ceil(error.retryAfterMs / 1_000))) }),
  });
  response.end(body);
}
