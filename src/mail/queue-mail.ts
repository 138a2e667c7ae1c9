import type { TxCtx } from "../db/db.ts";
import type { NewMail } from "./model.ts";
import { insertMail } from "./store.ts";

/** Writes a message in the transaction of what it tells of, so that neither is without the other; sends nothing. */
export async function queueMail(tx: TxCtx, mail: NewMail): Promise<void> {
  await insertMail(tx, tx.random.uuid(), mail, tx.clock.now());
}
