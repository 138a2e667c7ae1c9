/** Whose an endpoint or a delivery is. To everybody but its owner and administrators it is not there. */
import { StatusError } from "../base/status.ts";
import type { DbCtx, TxCtx } from "../db/db.ts";
import { mayReach, type Principal } from "../identity/index.ts";
import type { Delivery, Endpoint } from "./model.ts";
import { selectDelivery } from "./store/deliveries.ts";
import { lockEndpoint, selectEndpoint } from "./store/endpoints.ts";

export interface EndpointInput {
  readonly principal: Principal;
  readonly endpointId: string;
}

export interface DeliveryInput {
  readonly principal: Principal;
  readonly deliveryId: string;
}

/** Throws WEBHOOK_NOT_FOUND. */
export async function getEndpoint(ctx: DbCtx, input: EndpointInput): Promise<Endpoint> {
  return requireEndpoint(ctx, await selectEndpoint(ctx, input.endpointId), input);
}

/** The endpoint, locked until the transaction ends. Throws WEBHOOK_NOT_FOUND. */
export async function lockOwnEndpoint(tx: TxCtx, input: EndpointInput): Promise<Endpoint> {
  return requireEndpoint(tx, await lockEndpoint(tx, input.endpointId), input);
}

/** Throws WEBHOOK_DELIVERY_NOT_FOUND. */
export async function getDelivery(ctx: DbCtx, input: DeliveryInput): Promise<Delivery> {
  const found = await selectDelivery(ctx, input.deliveryId);
  if (found && mayReach(ctx, input.principal, found.userId)) return found;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "WEBHOOK_DELIVERY_NOT_FOUND",
    message: `There is no delivery ${input.deliveryId}. They are kept for 30 days: list them with GET /v1/webhooks/deliveries.`,
  });
}

function requireEndpoint(ctx: DbCtx, found: Endpoint | undefined, input: EndpointInput): Endpoint {
  if (found && mayReach(ctx, input.principal, found.userId)) return found;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "WEBHOOK_NOT_FOUND",
    message: `There is no webhook endpoint ${input.endpointId}. List yours with GET /v1/webhooks/endpoints.`,
  });
}
