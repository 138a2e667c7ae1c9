import { type DbCtx, withTransaction } from "../db/db.ts";
import { type Delivery, PING_ATTEMPTS } from "./model.ts";
import { type EndpointInput, getDelivery, lockOwnEndpoint } from "./owned.ts";
import { requireRoom } from "./room.ts";
import { insertDelivery } from "./store/deliveries.ts";
import { writeEvent } from "./write-event.ts";

/** Sends a test event to one endpoint, disabled or not. Throws WEBHOOK_NOT_FOUND, TOO_MANY_DELIVERIES. */
export function pingEndpoint(ctx: DbCtx, input: EndpointInput): Promise<Delivery> {
  return withTransaction(ctx, async (tx) => {
    const { id: endpointId, userId } = await lockOwnEndpoint(tx, input);
    await requireRoom(tx, endpointId);
    const { id: eventId, at } = await writeEvent(tx, { userId, type: "webhook.ping", data: { endpointId } });
    const id = tx.random.uuid();
    const rest = { attemptsMax: PING_ATTEMPTS, replayOf: null, cancelled: false };
    await insertDelivery(tx, { ...{ id, eventId, endpointId, userId, at }, ...rest });
    return getDelivery(tx, { principal: input.principal, deliveryId: id });
  });
}
