import type { Interceptor } from "@connectrpc/connect";
import type { Clock } from "../base/clock.ts";
import { StatusError } from "../base/status.ts";

export interface DeadlineLimits {
  /** Longest time of a unary call: nothing here waits for machines, so a longer one is stuck. */
  readonly callTimeoutMs: number;
  /** Longest life of a stream, so that each one meets a new version and a fresh check of its token some time. */
  readonly streamMaxMs: number;
}

/**
 * Ends every call: a unary one with DEADLINE, a stream by telling its handler that it is over, at its bound or at `shutdown`.
 * The caller's own, shorter deadline is already in the request's signal.
 */
export function deadline(clock: Clock, limits: DeadlineLimits, shutdown: AbortSignal): Interceptor {
  return (next) => async (request) => {
    const timer = new AbortController();
    const over = new AbortController();
    const sleep = (ms: number) => clock.sleep(ms, timer.signal);
    if (request.stream) {
      const signal = AbortSignal.any([request.signal, over.signal, shutdown]);
      sleep(limits.streamMaxMs).then(
        () => over.abort(),
        () => undefined,
      );
      const response = await next({ ...request, signal });
      if (!response.stream) return response;
      return { ...response, message: endingWith(response.message, signal, () => timer.abort()) };
    }
    const expiry = sleep(limits.callTimeoutMs).then(() => {
      const error = late(limits.callTimeoutMs);
      over.abort(error);
      throw error;
    });
    try {
      return await Promise.race([
        next({ ...request, signal: AbortSignal.any([request.signal, over.signal]) }),
        expiry,
      ]);
    } finally {
      timer.abort();
    }
  };
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
