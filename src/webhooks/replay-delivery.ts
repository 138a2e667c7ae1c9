import { StatusError } from "../base/status.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import { ATTEMPTS_MAX, type Delivery } from "./model.ts";
import { type DeliveryInput, getDelivery, lockOwnEndpoint } from "./owned.ts";
import { requireRoom } from "./room.ts";
import { insertDelivery } from "./store/deliveries.ts";

/**
 * Sends the event of a delivery again: the same id and bytes, signed anew, with attempts of its own; the first delivery stays
 * as it is. Throws WEBHOOK_DELIVERY_NOT_FOUND, WEBHOOK_DISABLED, TOO_MANY_DELIVERIES.
 */
export async function replayDelivery(ctx: DbCtx, input: DeliveryInput): Promise<Delivery> {
  const { principal } = input;
  return withTransaction(ctx, async (tx) => {
    const { endpointId, eventId, userId, id: replayOf } = await getDelivery(tx, input);
    const endpoint = await lockOwnEndpoint(tx, { principal, endpointId });
    if (endpoint.disabled) throw disabled(endpointId);
    await requireRoom(tx, endpointId);
    const id = tx.random.uuid();
    const rest = { attemptsMax: ATTEMPTS_MAX, replayOf, cancelled: false, at: tx.clock.now() };
    await insertDelivery(tx, { ...{ id, eventId, endpointId, userId }, ...rest });
    return getDelivery(tx, { principal, deliveryId: id });
  });
}

function disabled(endpointId: string): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "WEBHOOK_DISABLED",
    message: `The endpoint ${endpointId} is disabled. Enable it first: PATCH /v1/webhooks/endpoints/${endpointId} with "enabled": true.`,
  });
}
