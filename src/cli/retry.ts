/** Repeats calls that may be repeated, when the network or the server asks for it. */
import { getOption, hasOption } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor, type UnaryRequest } from "@connectrpc/connect";
import { http } from "../../gen/google/api/annotations_pb.js";
import type { Clock } from "../base/clock.ts";
import { failureOf, isNetworkError } from "./failure.ts";

/** Repetitions of one call: with the waits below about a quarter of a minute. */
const REPEATS_MAX = 5;
const FIRST_WAIT_MS = 500;
const WAIT_MAX_MS = 8_000;
/** A server that asks for a longer pause is not waited for: the user is told when to come again. */
const RETRY_AFTER_MAX_MS = 30_000;

export const IDEMPOTENCY_KEY = "idempotency-key";

/** POSTs that change nothing. */
const READS = new Set(["PreflightModel", "GetUsersBalance"]);

export function retried(clock: Clock, interrupted: AbortSignal): Interceptor {
  return (next) => async (request) => {
    if (request.stream || !mayRepeat(request)) return next(request);
    for (let repeat = 0; ; repeat++) {
      try {
        return await next(request);
      } catch (error) {
        const ended = AbortSignal.any([request.signal, interrupted]);
        const wait = repeat < REPEATS_MAX && !ended.aborted ? waitBefore(error, repeat) : undefined;
        if (wait === undefined) throw error;
        await clock.sleep(wait, ended);
      }
    }
  };
}

/** What HTTP calls idempotent, what changes nothing, and what carries a key by which the server knows the repeat. */
function mayRepeat(request: UnaryRequest): boolean {
  if (request.header.has(IDEMPOTENCY_KEY) || READS.has(request.method.name)) return true;
  if (!hasOption(request.method, http)) return false;
  const verb = getOption(request.method, http).pattern.case;
  return verb === "get" || verb === "put" || verb === "delete";
}

/** How long to wait before repeat number `repeat` (from 0); undefined where repeating does not help. */
function waitBefore(error: unknown, repeat: number): number | undefined {
  const backoff = Math.min(FIRST_WAIT_MS * 2 ** repeat, WAIT_MAX_MS);
  if (isNetworkError(error)) return backoff;
  if (!(error instanceof ConnectError)) return undefined;
  const { reason, retryAfterMs } = failureOf(error);
  if (!passes(error.code, reason)) return undefined;
  const asked = retryAfterMs ?? 0;
  return asked > RETRY_AFTER_MAX_MS ? undefined : Math.max(asked, backoff);
}

/** 429, 5xx, and a first call with our own key that still runs. Too large a body is also "exhausted" and stays too large. */
function passes(code: Code, reason: string): boolean {
  if (code === Code.Aborted) return reason === "IDEMPOTENCY_IN_PROGRESS";
  if (code === Code.ResourceExhausted) return reason !== "BODY_TOO_LARGE";
  return code === Code.Unavailable || code === Code.Internal || code === Code.Unknown;
}
