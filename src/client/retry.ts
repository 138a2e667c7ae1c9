/** Repeats calls that may be repeated, when the network or the server asks for it. */
import { type DescMethod, getOption, hasOption } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import type { Interceptor, UnaryRequest } from "@connectrpc/connect";
import { http } from "../../gen/google/api/annotations_pb.js";
import { SlipwayError, UnreachableError } from "./error.ts";

/** Repetitions of one call: with the waits below about a quarter of a minute. */
export const REPEATS_MAX = 5;
const FIRST_WAIT_MS = 500;
const WAIT_MAX_MS = 8_000;
/** A server that asks for a longer pause is not waited for: the caller is told when to come again. */
const RETRY_AFTER_MAX_MS = 30_000;

export const IDEMPOTENCY_KEY = "idempotency-key";

export interface RetryOptions {
  readonly repeatsMax: number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Ends every wait. */
  readonly signal: AbortSignal;
}

export function retried({ repeatsMax, sleep, signal }: RetryOptions): Interceptor {
  return (next) => async (request) => {
    if (request.stream || !mayRepeat(request)) return next(request);
    for (let repeat = 0; ; repeat++) {
      try {
        return await next(request);
      } catch (error) {
        const ended = AbortSignal.any([request.signal, signal]);
        const wait = repeat < repeatsMax && !ended.aborted ? waitBefore(error, repeat) : undefined;
        if (wait === undefined) throw error;
        await sleep(wait, ended);
      }
    }
  };
}

/** Changes nothing, which the contract does not say of it. */
const READS: ReadonlySet<string> = new Set(["PreflightModel"]);

/** What changes nothing, what HTTP calls idempotent, and what carries a key by which the server knows the repeat. */
function mayRepeat({ header, method }: UnaryRequest): boolean {
  return header.has(IDEMPOTENCY_KEY) || isIdempotent(method);
}

function isIdempotent(method: DescMethod): boolean {
  if (method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) return true;
  if (READS.has(method.name)) return true;
  if (!hasOption(method, http)) return false;
  const verb = getOption(method, http).pattern.case;
  return verb === "get" || verb === "put" || verb === "delete";
}

/** How long to wait before repeat number `repeat` (from 0); undefined where repeating does not help. */
function waitBefore(thrown: unknown, repeat: number): number | undefined {
  const backoff = Math.min(FIRST_WAIT_MS * 2 ** repeat, WAIT_MAX_MS);
  const error = SlipwayError.from(thrown);
  if (error instanceof UnreachableError) return backoff;
  if (!passes(error)) return undefined;
  const asked = error.retryAfterMs ?? 0;
  return asked > RETRY_AFTER_MAX_MS ? undefined : Math.max(asked, backoff);
}

/** 429, 5xx, and a first call with our own key that still runs. Too large a body is also "exhausted" and stays too large. */
function passes({ code, reason }: SlipwayError): boolean {
  if (code === "ABORTED") return reason === "IDEMPOTENCY_IN_PROGRESS";
  if (code === "RESOURCE_EXHAUSTED") return reason !== "BODY_TOO_LARGE";
  return code === "UNAVAILABLE" || code === "INTERNAL" || code === "UNKNOWN";
}
