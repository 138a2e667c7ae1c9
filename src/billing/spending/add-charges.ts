import type { TxCtx } from "../../db/db.ts";
import { type ChargedItem, rollUp } from "./roll-up.ts";
import { addSums } from "./store.ts";

/** Adds what was just charged, or counted for nothing, to the sums; in the transaction that charges it, after everything else. */
export async function addCharges(tx: TxCtx, items: readonly ChargedItem[]): Promise<void> {
  if (items.length > 0) await addSums(tx, rollUp(items));
}
