/** Tells users of cards that end soon or have ended: each of the two once for a card and its date. */
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { noteCard } from "../news.ts";
import { EXPIRING_MS } from "./card-expiry.ts";
import { takeUntold } from "./store.ts";

/** Cards of one pass; the next one takes the rest. */
const CARDS_MAX = 200;

/** Returns how many were told. The news are noted in the transaction that remembers them. */
export function warnOfExpiry(ctx: DbCtx, input: { readonly now: Date }): Promise<number> {
  const soon = new Date(input.now.getTime() + EXPIRING_MS);
  return withTransaction(ctx, async (tx) => {
    const cards = await takeUntold(tx, { now: input.now, soon, limit: CARDS_MAX });
    for (const { userId, expired, ...card } of cards) await noteCard(tx, { userId, card, expired });
    return cards.length;
  });
}
