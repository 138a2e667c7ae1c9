import type { DbCtx } from "../../db/db.ts";
import type { Balance } from "../ledger/index.ts";
import { type Credit, ENDING_MAX } from "./model.ts";
import { selectCredits } from "./store.ts";

/** What a user has of credit, pot by pot, in the order in which it is spent; nothing is read for who has none. */
export async function listCredit(
  ctx: DbCtx,
  userId: string,
  { creditNanos, currency }: Balance,
): Promise<readonly Credit[]> {
  if (creditNanos === 0n) return [];
  // Pots that ended and wait for their holds may come on top of those that end.
  return selectCredits(ctx, { userId, currency, now: ctx.clock.now(), limit: 2 * ENDING_MAX });
}
