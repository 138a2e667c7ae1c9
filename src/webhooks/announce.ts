import type { TxCtx } from "../db/db.ts";
import { ATTEMPTS_MAX, EVERY_TYPE, type NewEvent, PENDING_MAX } from "./model.ts";
import { insertDelivery } from "./store/deliveries.ts";
import { lockSubscribed } from "./store/endpoints.ts";
import { writeEvent } from "./write-event.ts";

/**
 * Writes an event and its deliveries in the transaction of what it tells of, so that neither is without the other; sends
 * nothing. Costs one read where nobody wants to know. Call it last: it takes the lock on the user's numbering.
 */
export async function announce(tx: TxCtx, event: NewEvent): Promise<void> {
  const { userId, type } = event;
  const endpoints = await lockSubscribed(tx, { userId, type, every: EVERY_TYPE, pendingMax: PENDING_MAX });
  if (endpoints.length === 0) return;
  const { id: eventId, at } = await writeEvent(tx, event);
  for (const { id: endpointId, full } of endpoints) {
    await insertDelivery(tx, {
      id: tx.random.uuid(),
      ...{ eventId, endpointId, userId, at },
      attemptsMax: ATTEMPTS_MAX,
      replayOf: null,
      cancelled: full,
    });
  }
}
