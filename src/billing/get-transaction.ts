import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { readSettings } from "./settings.ts";
import { type StatementLine, selectLine } from "./statement-store.ts";

/** One line of the user's statement, as the list shows it. Another's is TRANSACTION_NOT_FOUND, as a missing one. */
export async function getTransaction(
  ctx: DbCtx,
  input: { userId: string; transactionId: string },
): Promise<StatementLine> {
  const { userId, transactionId: id } = input;
  const { currency } = await readSettings(ctx);
  const line = await selectLine(ctx, { userId, currency, id });
  if (line) return line;
  throw new StatusError({
    code: "NOT_FOUND",
    reason: "TRANSACTION_NOT_FOUND",
    message: "There is no such transaction.",
  });
}
