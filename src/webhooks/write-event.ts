import type { TxCtx } from "../db/db.ts";
import type { NewEvent } from "./model.ts";
import { insertEvent, nextSequence } from "./store/events.ts";

/** Numbers an event and writes the very bytes that are posted. */
export async function writeEvent(
  tx: TxCtx,
  event: NewEvent,
): Promise<{ readonly id: string; readonly at: Date }> {
  const { userId, type, data } = event;
  const id = tx.random.uuid();
  const at = tx.clock.now();
  const sequence = await nextSequence(tx, userId);
  const payload = JSON.stringify({
    type,
    timestamp: at.toISOString(),
    sequence: Number(sequence),
    data: { userId, ...data },
  });
  await insertEvent(tx, { ...{ id, userId, type, sequence, payload, at } });
  return { id, at };
}
