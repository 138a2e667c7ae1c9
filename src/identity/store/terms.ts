/** Every statement on terms_acceptance. */
import type { TxCtx } from "../../db/db.ts";
import { tables } from "./tables.ts";

/** Keeps the first acceptance of each version. */
export async function insertAcceptance(
  tx: TxCtx,
  acceptance: { readonly userId: string; readonly version: string; readonly at: Date },
): Promise<void> {
  const { userId, version, at } = acceptance;
  await tables(tx.db)
    .insertInto("terms_acceptance")
    .values({ user_id: userId, version, accepted_at: at })
    .onConflict((conflict) => conflict.columns(["user_id", "version"]).doNothing())
    .execute();
}
