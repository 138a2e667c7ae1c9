import { recordAudit } from "../../audit/index.ts";
import { AMOUNT_MAX_NANOS, formatMoney, type Money } from "../../base/money.ts";
import { type FieldViolation, invalidArgument } from "../../base/status.ts";
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { getUser } from "../../identity/index.ts";
import { isPlayMoney, readSettings } from "../settings.ts";
import { type Adjustment, ALONE_OVER_MS, OPEN_MS } from "./model.ts";
import { postAdjustment } from "./post-adjustment.ts";
import { insertAdjustment, selectAloneMax, sumAlone } from "./store.ts";

export interface ProposedAdjustment {
  /** The administrator who proposes it. */
  readonly operatorId: string;
  readonly userId: string;
  readonly direction: Adjustment["direction"];
  /** Above zero. */
  readonly money: Money;
  readonly reason: string;
}

/**
 * Proposes a correction of a balance. Within what one administrator may move alone in a day, and not of their own balance, it is
 * posted at once; else it waits for another administrator. Throws USER_NOT_FOUND, AMOUNT_INVALID, CURRENCY_MISMATCH, INVALID_FIELD,
 * BALANCE_TOO_LOW (a debit that is posted at once).
 */
export function proposeAdjustment(ctx: DbCtx, input: ProposedAdjustment): Promise<Adjustment> {
  return withTransaction(ctx, async (tx) => {
    const { currency, payments } = await readSettings(tx);
    requireSound(input, currency);
    await getUser(tx, input.userId);
    const proposedAt = tx.clock.now();
    const alone = await mayAlone(tx, input, proposedAt);
    const proposed: Adjustment = {
      ...{ adjustmentId: tx.random.uuid(), userId: input.userId, currency, direction: input.direction },
      ...{ amountNanos: input.money.nanos, reason: input.reason, testMoney: isPlayMoney(payments), alone },
      ...{ state: "PROPOSED", proposedBy: input.operatorId, proposedAt },
      expiresAt: new Date(proposedAt.getTime() + OPEN_MS),
      ...{ decidedBy: null, decidedAt: null, decisionNote: "", transferId: null },
    };
    const adjustment = alone ? await posted(tx, proposed) : proposed;
    await insertAdjustment(tx, adjustment);
    await recordAudit(tx, {
      action: alone ? "adjustment.posted" : "adjustment.proposed",
      subjectId: adjustment.userId,
      resource: `adjustment:${adjustment.adjustmentId}`,
      details: { direction: input.direction, amount: formatMoney(input.money) },
    });
    return adjustment;
  });
}

async function posted(tx: TxCtx, one: Adjustment): Promise<Adjustment> {
  const transferId = await postAdjustment(tx, one);
  return { ...one, state: "POSTED", decidedBy: one.proposedBy, decidedAt: one.proposedAt, transferId };
}

/** Many small ones within a day are one large one; nobody corrects their own balance alone. */
async function mayAlone(tx: TxCtx, input: ProposedAdjustment, now: Date): Promise<boolean> {
  const { operatorId, userId, money } = input;
  const max = await selectAloneMax(tx);
  if (operatorId === userId || money.nanos > max) return false;
  const since = new Date(now.getTime() - ALONE_OVER_MS);
  return (await sumAlone(tx, { operatorId, currency: money.currency, since })) + money.nanos <= max;
}

function requireSound({ money, reason }: ProposedAdjustment, currency: string): void {
  const violations: FieldViolation[] = [];
  if (money.currency !== currency) {
    violations.push({ field: "amount", description: `must be in ${currency}`, reason: "CURRENCY_MISMATCH" });
  }
  if (money.nanos <= 0n || money.nanos > AMOUNT_MAX_NANOS) {
    const description = "must be above zero and at most a thousand million";
    violations.push({ field: "amount", description, reason: "AMOUNT_INVALID" });
  }
  if (reason.trim() === "") violations.push({ field: "reason", description: "must say why, for the books" });
  if (violations.length > 0) throw invalidArgument(violations);
}
