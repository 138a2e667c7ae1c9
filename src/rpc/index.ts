export { ownerOfCall as ownerOf, ownerOrAllOfCall as ownerOrAllOf } from "./access.ts";
export { ctxOf, type IdempotentAnswer, idempotencyOf, principalOf, requestIdOf } from "./context.ts";
export type { Mount } from "./mounts.ts";
export type {
  Authenticate,
  FinishedCall,
  Health,
  Idempotency,
  IdempotencyDecision,
  IdempotencyHandle,
  IdempotentCall,
  NoteAudit,
  PaceCheck,
} from "./ports.ts";
export {
  createRpcServer,
  RPC_LIMITS,
  type RpcLimits,
  type RpcListen,
  type RpcServer,
  type RpcServerOptions,
} from "./server.ts";
export { ERROR_DOMAIN, fromConnectError, httpStatusOf, toStatusJson } from "./status-wire.ts";
