import { sql } from "kysely";
import { recordAudit } from "../audit/index.ts";
import { formatMoney, type Money } from "../base/money.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import { getUser } from "../identity/index.ts";
import { postTransfer } from "./ledger/index.ts";
import { currencyMismatch } from "./payments/index.ts";
import { isPlayMoney, readSettings } from "./settings.ts";

export interface CreditInput {
  /** The administrator who grants it. */
  readonly operatorId: string;
  readonly userId: string;
  readonly amount: Money;
  /** For the books. */
  readonly reason: string;
  /** Same key, same grant: given once. */
  readonly key: string;
}

/**
 * Gives credit to a user. Throws USER_NOT_FOUND, CURRENCY_MISMATCH, AMOUNT_INVALID, IDEMPOTENCY_KEY_REUSED (the key gave
 * something else before).
 */
export function grantCredit(ctx: DbCtx, input: CreditInput): Promise<{ readonly transferId: bigint }> {
  return withTransaction(ctx, async (tx) => {
    const { currency, payments } = await readSettings(tx);
    if (input.amount.currency !== currency) throw currencyMismatch(currency);
    await getUser(tx, input.userId);
    const { transferId, created } = await postTransfer(tx, {
      key: `credit:${input.key}`,
      code: "credit.grant",
      ownerId: input.userId,
      money: input.amount,
      at: tx.clock.now(),
    });
    if (created) {
      await sql`
        insert into credit_grant (id, key, user_id, operator_id, reason, test_money, transfer_id, created_at)
        values (${tx.random.uuid()}, ${input.key}, ${input.userId}, ${input.operatorId}, ${input.reason}, ${isPlayMoney(payments)}, ${transferId},
          ${tx.clock.now()})`.execute(tx.db);
      await recordAudit(tx, {
        action: "credit.granted",
        subjectId: input.userId,
        resource: `transaction:${transferId}`,
        details: { amount: formatMoney(input.amount) },
      });
    }
    return { transferId };
  });
}
