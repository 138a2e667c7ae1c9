import { type DbCtx, withTransaction } from "../../db/db.ts";
import type { Apply } from "./apply-event.ts";
import type { PaymentProcessor } from "./processor.ts";
import { deleteCard, selectCardOwner, selectCustomerOwner, upsertCard } from "./store.ts";

/**
 * Reads a card from the processor: one that a browser put on file comes on file here, one that is gone goes. Nothing orders two
 * readings of a card, so whoever wrote one reads once more (`followCard`): a card that was detached can't be attached again,
 * and the last to write sees that it is gone.
 */
export async function readCard(ctx: DbCtx, processor: PaymentProcessor, cardId: string): Promise<Apply> {
  const found = await processor.news?.card(ctx, cardId);
  const key = { processor: processor.name, cardId };
  const owner =
    found && (await selectCustomerOwner(ctx, { processor: processor.name, customerId: found.customerId }));
  return async (tx) => {
    if (found && owner !== undefined) {
      await upsertCard(tx, { ...key, userId: owner }, found.card, tx.clock.now());
      return true;
    }
    const holder = await selectCardOwner(tx, key);
    if (holder !== undefined) await deleteCard(tx, { ...key, userId: holder });
    return true;
  };
}

/** After what was read of a card is written: takes it off again where it is gone by now. */
export async function followCard(ctx: DbCtx, processor: PaymentProcessor, cardId: string): Promise<void> {
  const found = await processor.news?.card(ctx, cardId);
  if (found) return;
  const apply = await readCard(ctx, processor, cardId);
  await withTransaction(ctx, apply);
}
