import { recordAudit } from "../../audit/index.ts";
import { AMOUNT_MAX_NANOS, formatMoney, type Money } from "../../base/money.ts";
import { type FieldViolation, invalidArgument } from "../../base/status.ts";
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { getUser } from "../../identity/index.ts";
import { expiryViolations } from "../credit/index.ts";
import { isPlayMoney, readSettings } from "../settings.ts";
import { type Adjustment, type AdjustmentKind, ALONE_OVER_MS, OPEN_MS } from "./model.ts";
import { postAdjustment } from "./post-adjustment.ts";
import { insertAdjustment, selectAloneMax, sumAlone } from "./store.ts";

export interface ProposedAdjustment {
  /** The administrator who proposes it. */
  readonly operatorId: string;
  readonly userId: string;
  /** Absent: a correction. A grant adds to the balance. */
  readonly kind?: AdjustmentKind;
  readonly direction: Adjustment["direction"];
  /** Above zero. */
  readonly money: Money;
  readonly reason: string;
  /** Of a grant alone; absent or null: it does not expire. */
  readonly creditExpiresAt?: Date | null;
}

/**
 * Proposes a correction of a balance, or a grant of credit. Within what one administrator may move alone in a day, and not of their own balance, it is
 * posted at once; else it waits for another administrator. Throws USER_NOT_FOUND, AMOUNT_INVALID, CURRENCY_MISMATCH, INVALID_FIELD,
 * EXPIRY_INVALID, TOO_MANY_GRANTS, BALANCE_TOO_LOW (a debit that is posted at once).
 */
export function proposeAdjustment(ctx: DbCtx, input: ProposedAdjustment): Promise<Adjustment> {
  return withTransaction(ctx, async (tx) => {
    const { currency, payments } = await readSettings(tx);
    const proposedAt = tx.clock.now();
    requireSound(input, currency, proposedAt);
    await getUser(tx, input.userId);
    const alone = await mayAlone(tx, input, proposedAt);
    const { kind = "CORRECTION", creditExpiresAt = null } = input;
    const proposed: Adjustment = {
      ...{ adjustmentId: tx.random.uuid(), userId: input.userId, kind, creditExpiresAt, currency },
      direction: input.direction,
      ...{ amountNanos: input.money.nanos, reason: input.reason, testMoney: isPlayMoney(payments), alone },
      ...{ state: "PROPOSED", proposedBy: input.operatorId, proposedAt },
      expiresAt: new Date(proposedAt.getTime() + OPEN_MS),
      ...{ decidedBy: null, decidedAt: null, decisionNote: "", transferId: null },
    };
    const adjustment = alone ? await posted(tx, proposed) : proposed;
    await insertAdjustment(tx, adjustment);
    // A grant that was posted is in the log as what it is.
    if (!alone || kind === "CORRECTION") await noteProposal(tx, adjustment);
    return adjustment;
  });
}

function noteProposal(tx: TxCtx, one: Adjustment): Promise<void> {
  const amount = formatMoney({ currency: one.currency, nanos: one.amountNanos });
  return recordAudit(tx, {
    action: one.alone ? "adjustment.posted" : "adjustment.proposed",
    subjectId: one.userId,
    resource: `adjustment:${one.adjustmentId}`,
    details: { direction: one.direction, amount },
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

function requireSound(input: ProposedAdjustment, currency: string, now: Date): void {
  const { money, reason, kind, direction, creditExpiresAt = null } = input;
  const violations: FieldViolation[] = [];
  if (kind === "GRANT") violations.push(...expiryViolations(creditExpiresAt, now, "credit_expires_at"));
  else if (creditExpiresAt !== null) {
    violations.push({ field: "credit_expires_at", description: "is for grants of credit alone" });
  }
  if (kind === "GRANT" && direction === "DEBIT") {
    violations.push({ field: "direction", description: "must be CREDIT for a grant of credit" });
  }
  if (money.currency !== currency) {
    violations.push({ field: "amount", description: `must be in ${currency}`, reason: "CURRENCY_MISMATCH" });
  }
  if (money.nanos <= 0n || money.nanos > AMOUNT_MAX_NANOS) {
    const description = "must be above zero and at most a thousand million";
    violations.push({ field: "amount", description, reason: "AMOUNT_INVALID" });
  }
  if (kind !== "GRANT" && reason.trim() === "")
    violations.push({ field: "reason", description: "must say why, for the books" });
  if (violations.length > 0) throw invalidArgument(violations);
}
