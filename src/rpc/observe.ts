import {
  Code as ConnectCode,
  ConnectError,
  type Interceptor,
  type StreamResponse,
  type UnaryResponse,
} from "@connectrpc/connect";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import { principalKey, requestIdOf } from "./context.ts";
import type { FinishedCall } from "./ports.ts";
import { toConnectError } from "./status-wire.ts";

/** Writes one log line a finished call, an error line when it is our fault, and tells whoever else listens. */
export function finishedCalls(
  ctx: BaseCtx,
  listener: (call: FinishedCall) => void,
): (call: FinishedCall, cause: unknown) => void {
  return (call, cause) => {
    const ours = call.code === "INTERNAL" || call.code === "UNKNOWN" || call.code === "DATA_LOSS";
    if (ours) ctx.log.error({ ...call, err: cause }, "call failed");
    else ctx.log.info(call, "call");
    listener(call);
  };
}

/** Outermost: turns whatever a handler throws into the wire's error, and reports the call when it has ended. */
export function observe(ctx: BaseCtx, finished: (call: FinishedCall, cause: unknown) => void): Interceptor {
  return (next) => async (request) => {
    const startedMs = ctx.clock.monotonicMs();
    const report = (code: string, cause: unknown) =>
      finished(
        {
          method: `${request.service.typeName}/${request.method.name}`,
          code,
          durationMs: Math.round((ctx.clock.monotonicMs() - startedMs) * 100) / 100,
          requestId: requestIdOf({ values: request.contextValues }),
          userId: request.contextValues.get(principalKey)?.userId ?? "",
        },
        cause,
      );
    const fail = (thrown: unknown): ConnectError => {
      const error = statusOf(thrown, request.signal);
      report(error.code, error.cause);
      return toConnectError(error);
    };
    try {
      const response = await next(request);
      if (response.stream) return observedStream(response, report, fail);
      report("OK", undefined);
      return response;
    } catch (thrown) {
      throw fail(thrown);
    }
  };
}

function observedStream(
  response: StreamResponse,
  report: (code: string, cause: unknown) => void,
  fail: (thrown: unknown) => ConnectError,
): UnaryResponse | StreamResponse {
  async function* message() {
    let failure: ConnectError | undefined;
    try {
      yield* response.message;
    } catch (thrown) {
      failure = fail(thrown);
      throw failure;
    } finally {
      if (!failure) report("OK", undefined);
    }
  }
  return { ...response, message: message() };
}

/** The public error of a thrown thing. What is thrown because the caller left is CANCELLED, not a fault of ours. */
function statusOf(thrown: unknown, signal: AbortSignal): StatusError {
  if (thrown instanceof StatusError) return thrown;
  if (thrown instanceof ConnectError && thrown.code === ConnectCode.Unimplemented) {
    return new StatusError({
      code: "UNIMPLEMENTED",
      reason: "NOT_IMPLEMENTED",
      message: "This installation does not have this operation.",
      cause: thrown,
    });
  }
  if (signal.aborted) {
    return new StatusError({
      code: "CANCELLED",
      reason: "CANCELLED",
      message: "The caller left before the answer.",
      cause: thrown,
    });
  }
  return StatusError.from(thrown);
}
