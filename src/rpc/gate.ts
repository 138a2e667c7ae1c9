import { AsyncLocalStorage } from "node:async_hooks";
import type { DescMethod } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import type { Principal } from "../identity/index.ts";
import { requireMethod } from "./access.ts";
import { addressKey, ctxKey, principalKey, requestIdKey, responseHeaderKey } from "./context.ts";
import { paced } from "./pace.ts";
import type { Authenticate, FinishedCall, NoteAudit, PaceCheck } from "./ports.ts";
import { toConnectError } from "./status-wire.ts";
import { CallTrail, noteRefused, trailKey } from "./trail.ts";

export const REQUEST_ID_HEADER = "x-request-id";

/** What the REST edge already knows about a call when it enters the in-memory transport. Reachable by no header. */
export interface RestCall {
  readonly principal: Principal;
  readonly requestId: string;
  readonly address: string;
}

export const restCall = new AsyncLocalStorage<RestCall>();

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** The caller's request id when it is harmless to log, else a new one. */
export function requestIdFrom(header: string | null | undefined, ctx: BaseCtx): string {
  return header && REQUEST_ID.test(header) ? header : ctx.random.uuid();
}

/** The token of an Authorization header. Throws TOKEN_MISSING, or TOKEN_INVALID when it is no Bearer one. */
export function bearerOf(header: string | null | undefined): string {
  if (!header) {
    throw new StatusError({
      code: "UNAUTHENTICATED",
      reason: "TOKEN_MISSING",
      message: "The request carries no access token. Send it as `Authorization: Bearer <token>`.",
    });
  }
  const token = /^Bearer +(\S+) *$/i.exec(header)?.[1];
  if (token) return token;
  throw new StatusError({
    code: "UNAUTHENTICATED",
    reason: "TOKEN_INVALID",
    message: "The Authorization header is not of the form `Bearer <token>`.",
  });
}

export interface GateDeps {
  readonly ctx: BaseCtx;
  readonly authenticate: Authenticate;
  /** Without it callers have no limits. */
  readonly pace?: PaceCheck | undefined;
  readonly noteAudit: NoteAudit;
  finished(call: FinishedCall, cause: unknown): void;
}

export interface Admitted {
  readonly principal: Principal;
  /** How the token stands with its limit, for the answer. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What a call shows before it is read. */
export interface From {
  readonly authorization: string | null | undefined;
  readonly requestId: string;
  readonly address: string;
}

/** Who calls, if that token may be used for the method and not too often. Throws TOKEN_…, RATE_LIMITED, SCOPE_MISSING or NOT_ALLOWED. */
export async function admit(
  { authenticate, pace, noteAudit }: GateDeps,
  ctx: BaseCtx,
  method: DescMethod,
  from: From,
): Promise<Admitted> {
  let principal: Principal | undefined;
  try {
    principal = await authenticate(ctx, bearerOf(from.authorization));
    const headers = paced(pace, "token", principal.tokenId);
    requireMethod(principal, method);
    return { principal, headers };
  } catch (thrown) {
    const { requestId, address } = from;
    const who = { userId: principal?.userId ?? "", tokenId: principal?.tokenId ?? "", requestId, address };
    noteRefused(noteAudit, who, method, StatusError.from(thrown));
    throw thrown;
  }
}

/** Runs before a call's body is read: gives it its request id, its ctx and its principal, or refuses it. */
export function requestGate(deps: GateDeps): (context: HandlerContext) => Promise<void> {
  const { ctx, finished } = deps;
  return async (context) => {
    const rest = restCall.getStore();
    const given = context.values.get(requestIdKey);
    const requestId =
      rest?.requestId ??
      (given === "" ? requestIdFrom(context.requestHeader.get(REQUEST_ID_HEADER), ctx) : given);
    const own = { ...ctx, log: ctx.log.child({ requestId }) };
    const address = rest?.address ?? context.values.get(addressKey);
    context.responseHeader.set(REQUEST_ID_HEADER, requestId);
    context.values
      .set(requestIdKey, requestId)
      .set(ctxKey, own)
      .set(responseHeaderKey, context.responseHeader);
    try {
      const called = { ...own, signal: context.signal };
      const { principal, headers } =
        rest !== undefined
          ? { principal: rest.principal, headers: {} }
          : await admit(deps, called, context.method, {
              authorization: context.requestHeader.get("authorization"),
              requestId,
              address,
            });
      for (const [name, value] of Object.entries(headers)) context.responseHeader.set(name, value);
      const { userId, tokenId } = principal;
      const caller = new CallTrail({ userId, tokenId, requestId, address });
      context.values
        .set(principalKey, principal)
        .set(trailKey, caller)
        .set(ctxKey, { ...own, caller });
    } catch (thrown) {
      const error = StatusError.from(thrown);
      const method = `${context.service.typeName}/${context.method.name}`;
      finished({ method, code: error.code, durationMs: 0, requestId, userId: "" }, error.cause);
      throw toConnectError(error);
    }
  };
}
