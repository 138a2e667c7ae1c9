import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { type ContextValues, createContextKey, type HandlerContext } from "@connectrpc/connect";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import type { Principal } from "../identity/index.ts";

/** Lets a handler store the answer of a keyed call inside its own transaction. */
export interface IdempotentAnswer {
  /** `response` is what the handler is about to return. After the commit a repeat gets it, even when this process dies at once. */
  completeIn<O extends DescMessage>(tx: BaseCtx, schema: O, response: MessageInitShape<O>): Promise<void>;
}

export const principalKey = createContextKey<Principal | undefined>(undefined, { description: "principal" });
export const requestIdKey = createContextKey("", { description: "request id" });
export const idempotencyKey = createContextKey<IdempotentAnswer | undefined>(undefined, {
  description: "idempotent answer",
});
/** Where a call came from; "" when unknown. */
export const addressKey = createContextKey("", { description: "address" });
/** The answer's headers, for who answers in a handler's place. */
export const responseHeaderKey = createContextKey<Headers | undefined>(undefined, {
  description: "response header",
});
export const ctxKey = createContextKey<BaseCtx | undefined>(undefined, { description: "ctx" });

/** Who is asking. Every rpc has one; without it the edge is wired wrongly. */
export function principalOf(context: { readonly values: ContextValues }): Principal {
  const principal = context.values.get(principalKey);
  if (!principal) throw StatusError.from(new Error("a handler ran without a principal"));
  return principal;
}

/** The id that joins the log lines of one request; also in the answer's `x-request-id`. */
export function requestIdOf(context: { readonly values: ContextValues }): string {
  return context.values.get(requestIdKey);
}

/** Defined when the call came with an Idempotency-Key. */
export function idempotencyOf(context: { readonly values: ContextValues }): IdempotentAnswer | undefined {
  return context.values.get(idempotencyKey);
}

/** What every domain function gets first: with a log that names the request, and a signal that ends with it. */
export function ctxOf(context: Pick<HandlerContext, "values" | "signal">): BaseCtx {
  const ctx = context.values.get(ctxKey);
  if (!ctx) throw StatusError.from(new Error("a handler ran outside the edge"));
  return { ...ctx, signal: context.signal };
}
