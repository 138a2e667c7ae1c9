/** One attempt over the wire: what was answered, or what went wrong, never a throw. */
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import type { Attempt, Delivery } from "./model.ts";
import type { WebhooksDeps } from "./ports.ts";
import { signedHeaders } from "./secrets.ts";

/** A longer answer is left where this much was read; only its beginning is shown. */
const ANSWER_BYTES_MAX = 8 * 1_024;
const EXCERPT_CHARACTERS = 200;
/** Statuses whose Retry-After is heard. */
const COME_LATER = new Set([429, 503]);
const GONE = 410;

export interface Sent {
  readonly attempt: Attempt;
  readonly delivered: boolean;
  /** The receiver wants nothing more. */
  readonly gone: boolean;
  /** What it asked for by Retry-After; 0 when nothing. */
  readonly retryAfterMs: number;
}

export async function send(
  ctx: BaseCtx,
  deps: WebhooksDeps,
  input: { readonly delivery: Delivery; readonly url: string; readonly secrets: readonly string[] },
): Promise<Sent> {
  const { delivery } = input;
  const startedAt = ctx.clock.now();
  const from = ctx.clock.monotonicMs();
  const answer = await post(deps, { ...input, at: startedAt });
  const delivered = answer.status >= 200 && answer.status < 300;
  return {
    attempt: {
      number: delivery.attemptCount,
      startedAt,
      durationMs: Math.max(0, Math.round(ctx.clock.monotonicMs() - from)),
      responseStatus: answer.status,
      failure: delivered ? "" : answer.failure || refusal(answer.status),
      responseExcerpt: delivered ? "" : answer.excerpt,
    },
    delivered,
    gone: answer.status === GONE,
    retryAfterMs: COME_LATER.has(answer.status) ? retryAfterOf(answer.retryAfter) : 0,
  };
}

interface Answer {
  readonly status: number;
  readonly failure: string;
  readonly excerpt: string;
  readonly retryAfter: string;
}

async function post(
  deps: WebhooksDeps,
  input: {
    readonly delivery: Delivery;
    readonly url: string;
    readonly secrets: readonly string[];
    readonly at: Date;
  },
): Promise<Answer> {
  const { delivery, at } = input;
  const message = { id: delivery.eventId, at, body: delivery.payload };
  const tooLong = AbortSignal.timeout(deps.sendMs);
  try {
    const { status, headers, body } = await deps.client.stream({
      url: input.url,
      method: "POST",
      headers: { "content-type": "application/json", ...signedHeaders(message, input.secrets) },
      body: delivery.payload,
      redirectsMax: 0,
      deadlineMs: deps.sendMs,
      idleMs: deps.sendMs,
      bodyBytesMax: Number.POSITIVE_INFINITY,
      signal: tooLong,
    });
    const excerpt = await beginning(body);
    return { status, failure: "", excerpt, retryAfter: headers["retry-after"] ?? "" };
  } catch (error) {
    return { status: 0, failure: sentenceOf(error, tooLong, deps.sendMs), excerpt: "", retryAfter: "" };
  }
}

/** Reads the beginning and leaves the rest. An answer that breaks off has still been given: its status counts. */
async function beginning(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      size += chunk.byteLength;
      if (size >= ANSWER_BYTES_MAX) break;
    }
  } catch {
    // what was read is what there is
  }
  return excerptOf(Buffer.concat(chunks));
}

/** Plain text of one line: control characters of a foreign answer go nowhere. */
function excerptOf(bytes: Buffer): string {
  const text = bytes.subarray(0, ANSWER_BYTES_MAX).toString("utf8");
  const plain = text.replace(/[\p{C}\s]+/gu, " ").trim();
  return [...plain].slice(0, EXCERPT_CHARACTERS).join("");
}

function refusal(status: number): string {
  if (status >= 300 && status < 400) return `The receiver answered ${status}; redirects are not followed.`;
  return `The receiver answered ${status}.`;
}

function sentenceOf(error: unknown, tooLong: AbortSignal, sendMs: number): string {
  if (tooLong.aborted) return `The receiver did not answer within ${sendMs / 1_000} s.`;
  return error instanceof StatusError ? error.message : "The attempt was cut off.";
}

/** Seconds alone: a date would trust the receiver's clock. */
function retryAfterOf(text: string): number {
  return /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : 0;
}
