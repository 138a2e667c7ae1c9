import { create, type DescMessage, toJson } from "@bufbuild/protobuf";
import type { Interceptor, UnaryRequest, UnaryResponse } from "@connectrpc/connect";
import type { BaseCtx } from "../base/ctx.ts";
import { sha256 } from "../base/id.ts";
import { type Code, invalidArgument, StatusError } from "../base/status.ts";
import { failureBytes, replay, successBytes } from "./answer.ts";
import { canonicalJson } from "./canonical-json.ts";
import { ctxKey, idempotencyKey, principalKey, responseHeaderKey } from "./context.ts";
import { takesIdempotencyKey } from "./http-rule.ts";
import type { Idempotency, IdempotencyHandle } from "./ports.ts";

export const IDEMPOTENCY_HEADER = "idempotency-key";
/** Tells that an answer is the stored one of an earlier call. */
export const REPLAYED_HEADER = "idempotency-replayed";

/** 1 to 255 visible ASCII characters: what a header and an index can hold. */
const KEY = /^[!-~]{1,255}$/;

/** Codes whose errors are final: the same request would get them again. All others may pass, so a repeat runs again. */
const DEFINITE: ReadonlySet<Code> = new Set([
  "INVALID_ARGUMENT",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "FAILED_PRECONDITION",
  "OUT_OF_RANGE",
]);

/** Makes POST calls with an Idempotency-Key run once: a repeat gets the first one's answer. */
export function idempotent(idempotency: Idempotency): Interceptor {
  return (next) => async (request) => {
    const key = request.header.get(IDEMPOTENCY_HEADER);
    if (key === null || request.stream || !takesIdempotencyKey(request.method)) return next(request);
    if (!KEY.test(key)) {
      throw invalidArgument([
        { field: IDEMPOTENCY_HEADER, description: "must be 1 to 255 visible ASCII characters" },
      ]);
    }
    const { ctx, principal } = callerOf(request);
    const decision = await idempotency.begin(ctx, {
      principalId: principal.userId,
      operation: `${request.service.typeName}/${request.method.name}`,
      key,
      requestHash: sha256(canonicalJson(toJson(request.method.input, request.message))),
    });
    if (decision.kind === "replay") return replayed(request, decision.answer);
    return runOnce(request, decision.handle, ctx, next);
  };
}

function callerOf(request: UnaryRequest) {
  const ctx = request.contextValues.get(ctxKey);
  const principal = request.contextValues.get(principalKey);
  if (!ctx || !principal) throw StatusError.from(new Error("a call passed the gate without a principal"));
  return { ctx, principal };
}

function replayed(request: UnaryRequest, answer: Uint8Array): UnaryResponse {
  const message = replay(request.method.output, answer);
  // The transport's own headers are in there already and must stay.
  const header = request.contextValues.get(responseHeaderKey) ?? new Headers();
  header.set(REPLAYED_HEADER, "true");
  return {
    stream: false,
    service: request.service,
    method: request.method,
    header,
    trailer: new Headers(),
    message,
  };
}

async function runOnce(
  request: UnaryRequest,
  handle: IdempotencyHandle,
  ctx: BaseCtx,
  next: Parameters<Interceptor>[0],
): ReturnType<Parameters<Interceptor>[0]> {
  let storedByHandler = false;
  request.contextValues.set(idempotencyKey, {
    async completeIn(tx, schema, response) {
      await handle.completeIn(tx, successBytes(schema, create<DescMessage>(schema, response)));
      storedByHandler = true;
    },
  });
  try {
    const response = await next(request);
    if (!storedByHandler && !response.stream) {
      await handle.complete(successBytes(request.method.output, response.message));
    }
    return response;
  } catch (thrown) {
    const error = StatusError.from(thrown);
    // What a handler stored may have been committed before it failed: the handle keeps the first completion.
    await (DEFINITE.has(error.code) ? handle.complete(failureBytes(error)) : handle.abandon()).catch(
      (failure: unknown) => ctx.log.error({ err: failure }, "the end of a keyed call could not be stored"),
    );
    throw thrown;
  }
}
