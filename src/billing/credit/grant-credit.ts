import { recordAudit } from "../../audit/index.ts";
import { formatMoney, type Money } from "../../base/money.ts";
import { invalidArgument, StatusError } from "../../base/status.ts";
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { getUser } from "../../identity/index.ts";
import { postCredit } from "../ledger/index.ts";
import { currencyMismatch } from "../payments/index.ts";
import { isPlayMoney, readSettings } from "../settings.ts";
import { ENDING_MAX, expiryViolations } from "./model.ts";
import { countEnding, insertGrant } from "./store.ts";

export interface CreditInput {
  /** The administrator who grants it. */
  readonly operatorId: string;
  readonly userId: string;
  readonly amount: Money;
  /** For the books. */
  readonly reason: string;
  /** Same key, same grant: given once. */
  readonly key: string;
  /** From then on what is left of it can't be spent. Absent or null: it does not expire. */
  readonly expiresAt?: Date | null;
  /** True: it is play money, whatever the installation takes now. */
  readonly testMoney?: boolean;
}

/**
 * Gives credit to a user, of whoever has decided that: what one administrator may give alone is the rule of adjustments, through
 * which requests come. Throws USER_NOT_FOUND, CURRENCY_MISMATCH, AMOUNT_INVALID, EXPIRY_INVALID, TOO_MANY_GRANTS,
 * IDEMPOTENCY_KEY_REUSED (the key gave something else before).
 */
export function grantCredit(ctx: DbCtx, input: CreditInput): Promise<{ readonly transferId: bigint }> {
  return withTransaction(ctx, async (tx) => {
    const { currency, payments } = await readSettings(tx);
    const { userId, amount, expiresAt = null } = input;
    if (amount.currency !== currency) throw currencyMismatch(currency);
    await getUser(tx, userId);
    const grantId = tx.random.uuid();
    const at = tx.clock.now();
    const { transferId, created } = await postCredit(tx, {
      ...{ key: `credit:${input.key}`, code: "credit.grant", ownerId: userId, money: amount, at },
      pot: expiresAt === null ? null : { potId: grantId, expiresAt },
    });
    if (!created) return { transferId };
    await requireEnd(tx, { userId, currency, expiresAt, now: at });
    const testMoney = input.testMoney === true || isPlayMoney(payments);
    await insertGrant(tx, { ...input, grantId, testMoney, expiresAt, transferId, at });
    await recordAudit(tx, {
      action: "credit.granted",
      subjectId: userId,
      resource: `transaction:${transferId}`,
      details: {
        amount: formatMoney(amount),
        ...(expiresAt && { expiresAt: expiresAt.toISOString() }),
      },
    });
    return { transferId };
  });
}

/** Looked at once the grant is known to be new: a repeat is answered even after its end. */
async function requireEnd(
  tx: TxCtx,
  input: {
    readonly userId: string;
    readonly currency: string;
    readonly expiresAt: Date | null;
    readonly now: Date;
  },
): Promise<void> {
  if (input.expiresAt === null) return;
  const violations = expiryViolations(input.expiresAt, input.now, "expires_at");
  if (violations.length > 0) throw invalidArgument(violations);
  // The new one is among them.
  if ((await countEnding(tx, input)) <= ENDING_MAX) return;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "TOO_MANY_GRANTS",
    message: `The user has ${ENDING_MAX} grants that expire and are not used up. Wait until some are, or grant credit that does not expire.`,
  });
}
