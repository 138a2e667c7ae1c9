import { recordAudit } from "../../audit/index.ts";
import { formatMoney } from "../../base/money.ts";
import { StatusError } from "../../base/status.ts";
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { atLeast, findUser } from "../../identity/index.ts";
import type { Adjustment } from "./model.ts";
import { postAdjustment } from "./post-adjustment.ts";
import { decide, lockAdjustment } from "./store.ts";

export interface DecisionInput {
  /** The administrator who decides. */
  readonly operatorId: string;
  readonly adjustmentId: string;
}

/**
 * Posts an adjustment that another administrator proposed. A repeat by the same administrator returns it. Throws
 * ADJUSTMENT_NOT_FOUND, ADJUSTMENT_ENDED, SECOND_ADMIN_NEEDED, BALANCE_TOO_LOW (it stays open).
 */
export function approveAdjustment(ctx: DbCtx, input: DecisionInput): Promise<Adjustment> {
  return decided(ctx, input, "POSTED", async (tx, one) => {
    if (input.operatorId === one.proposedBy || input.operatorId === one.userId) throw secondAdminNeeded();
    await requireProposer(tx, one.proposedBy);
    return { transferId: await postAdjustment(tx, one), note: "" };
  });
}

/** Ends a proposal without moving money; who proposed it may, too. Throws ADJUSTMENT_NOT_FOUND, ADJUSTMENT_ENDED. */
export function rejectAdjustment(
  ctx: DbCtx,
  input: DecisionInput & { readonly note: string },
): Promise<Adjustment> {
  return decided(ctx, input, "REJECTED", async () => ({ transferId: null, note: input.note }));
}

function decided(
  ctx: DbCtx,
  { operatorId, adjustmentId }: DecisionInput,
  state: "POSTED" | "REJECTED",
  act: (tx: TxCtx, one: Adjustment) => Promise<{ transferId: bigint | null; note: string }>,
): Promise<Adjustment> {
  return withTransaction(ctx, async (tx) => {
    const one = await lockAdjustment(tx, adjustmentId);
    if (!one) throw adjustmentNotFound();
    if (one.state === state && one.decidedBy === operatorId && !one.alone) return one;
    const at = tx.clock.now();
    if (one.state !== "PROPOSED" || one.expiresAt <= at) throw adjustmentEnded(one, at);
    const done = await act(tx, one);
    const after = await decide(tx, adjustmentId, { state, by: operatorId, at, ...done });
    await recordAudit(tx, {
      action: state === "POSTED" ? "adjustment.approved" : "adjustment.rejected",
      subjectId: one.userId,
      resource: `adjustment:${adjustmentId}`,
      details: {
        direction: one.direction,
        amount: formatMoney({ currency: one.currency, nanos: one.amountNanos }),
        proposedBy: one.proposedBy,
      },
    });
    return after ?? one;
  });
}

/** Two administrators vouch for it: one who is none any more does not. */
async function requireProposer(tx: TxCtx, proposedBy: string): Promise<void> {
  const proposer = await findUser(tx, proposedBy);
  if (proposer && proposer.disabledAt === null && atLeast(proposer.role, "ADMIN")) return;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "SECOND_ADMIN_NEEDED",
    message: "Who proposed it is no administrator any more. Reject it, and propose it anew.",
  });
}

function secondAdminNeeded(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "SECOND_ADMIN_NEEDED",
    message:
      "Another administrator has to approve this: neither who proposed it nor whose balance it is. You can reject it.",
  });
}

export function adjustmentNotFound(): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "ADJUSTMENT_NOT_FOUND",
    message: "There is no such adjustment. Their ids are in the list of adjustments.",
  });
}

function adjustmentEnded({ state }: Adjustment, at: Date): StatusError {
  const ended = state === "PROPOSED" ? "EXPIRED" : state;
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "ADJUSTMENT_ENDED",
    message: `It is ${ended} and can't be decided any more. Propose it anew if it is still right.`,
    metadata: { state: ended, at: at.toISOString() },
  });
}
