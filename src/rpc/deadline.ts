import type { Interceptor, StreamRequest, UnaryRequest } from "@connectrpc/connect";
import type { Clock } from "../base/clock.ts";
import { StatusError } from "../base/status.ts";

export interface DeadlineLimits {
  /** Longest time of a unary call: nothing here waits for machines, so a longer one is stuck.
   *  Below the time after which an unanswered keyed call counts as dead. */
  readonly callTimeoutMs: number;
  /** Longest life of a stream, so that each one meets a new version and a fresh check of its token some time. */
  readonly streamMaxMs: number;
}

/**
 * Ends every call: a unary one with DEADLINE, a stream by telling its handler that it is over, at its bound or at `shutdown`.
 * The caller's own, shorter deadline is already in the request's signal.
 */
export function deadline(clock: Clock, limits: DeadlineLimits, shutdown: AbortSignal): Interceptor {
  return (next) => (request) =>
    request.stream
      ? boundedStream(clock, limits.streamMaxMs, shutdown, request, next)
      : boundedCall(clock, limits.callTimeoutMs, request, next);
}

type Next = Parameters<Interceptor>[0];

async function boundedCall(
  clock: Clock,
  timeoutMs: number,
  request: UnaryRequest,
  next: Next,
): ReturnType<Next> {
  const timer = new AbortController();
  const over = new AbortController();
  const expiry = clock.sleep(timeoutMs, timer.signal).then(() => {
    const error = late(timeoutMs);
    over.abort(error);
    throw error;
  });
  try {
    const signal = AbortSignal.any([request.signal, over.signal]);
    return await Promise.race([next({ ...request, signal }), expiry]);
  } finally {
    timer.abort();
  }
}

async function boundedStream(
  clock: Clock,
  maxMs: number,
  shutdown: AbortSignal,
  request: StreamRequest,
  next: Next,
): ReturnType<Next> {
  const timer = new AbortController();
  const over = new AbortController();
  clock.sleep(maxMs, timer.signal).then(
    () => over.abort(),
    () => undefined,
  );
  const signal = AbortSignal.any([request.signal, over.signal, shutdown]);
  try {
    const response = await next({ ...request, signal });
    if (!response.stream) return response;
    return { ...response, message: endingWith(response.message, signal, () => timer.abort()) };
  } catch (thrown) {
    timer.abort();
    throw thrown;
  }
}

/** Passes messages on until the signal; then ends, whether or not the source does. */
async function* endingWith<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal,
  done: () => void,
): AsyncIterable<T> {
  const iterator = source[Symbol.asyncIterator]();
  const aborted = new Promise<IteratorResult<T>>((resolve) => {
    const end = () => resolve({ done: true, value: undefined });
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
  try {
    for (;;) {
      const result = await Promise.race([iterator.next(), aborted]);
      if (result.done) return;
      yield result.value;
    }
  } finally {
    done();
    // Not awaited: a generator that hangs inside its own await would hold the stream open for ever.
    iterator.return?.()?.catch(() => undefined);
  }
}

function late(timeoutMs: number): StatusError {
  return new StatusError({
    code: "DEADLINE_EXCEEDED",
    reason: "DEADLINE",
    message: `The call took longer than ${timeoutMs / 1_000} s. It may still take effect: look before you repeat it, or repeat it with the same Idempotency-Key.`,
    retryAfterMs: 1_000,
  });
}
