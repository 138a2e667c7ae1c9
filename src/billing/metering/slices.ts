/** Slices: balance leased to gateways, so that no request waits for the database and no number of gateways overdraws a user. */
import { lesserNanos } from "../../base/money.ts";
import { invalidArgument, type StatusError } from "../../base/status.ts";
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import {
  type BudgetUse,
  budgetExceeded,
  leftOf,
  readBudgets,
  recallBudget,
  reserveInBudgets,
  tightestOf,
} from "../budgets/index.ts";
import { balanceTooLow, endHold, lockHolds, placeHold, readLockedBalance } from "../ledger/index.ts";
import {
  closeSliceRow,
  closeSliceRows,
  insertSlice,
  notifySlices,
  type Slice,
  selectDueSlices,
} from "./slice-store.ts";

/** Requests are admitted under a slice for so long; a gateway that dies ties up its users' money for this and an hour. */
export const SLICE_SPEND_MS = 10 * 60_000;
/** How long usage may still come after that: an outage of the database must not turn into a loss. */
export const SLICE_SETTLE_AFTER_MS = 60 * 60_000;
/** A slice takes at most this part of what is available, unless one request needs more. */
const SHARE = 20n;
/** A small wish is granted so many times over, within the share, so that a busy user's gateway asks once a second and not more. */
const AHEAD = 64n;
/** Slices settled in one transaction: keeps the locks of a pass short. */
const SETTLE_BATCH = 200;
/** Slices that one shortage recalls; a user has few gateways. */
const RECALL_MAX = 100;

export interface LeaseInput {
  /** New and random; drawn where it is absent. Who names it can close it though the answer was lost. */
  readonly sliceId?: string;
  readonly gatewayId: string;
  readonly userId: string;
  readonly wantNanos: bigint;
  readonly currency: string;
  readonly now: Date;
  /** What it is leased for, where budgets may bound that; the slice is for nothing else then. Absent: for whatever the user asks. */
  readonly purpose?: SlicePurpose;
}

/** Null: whatever it is, no budget of it bounds this. */
export interface SlicePurpose {
  readonly keyId: string | null;
  readonly modelId: string | null;
  /** The name of the catalogue that is asked for. */
  readonly servedName: string | null;
}

/**
 * Leases at least `wantNanos`, and up to a twentieth of what is available and within budgets. Throws BALANCE_TOO_LOW or
 * BUDGET_EXCEEDED (and asks the gateways that hold slices of the user, or of the budget, to give back what they can), whichever
 * leaves less, or AMOUNT_INVALID.
 */
export async function leaseSlice(ctx: DbCtx, input: LeaseInput): Promise<Slice> {
  if (input.wantNanos <= 0n) {
    throw invalidArgument([
      { field: "want_nanos", description: "must be above zero", reason: "AMOUNT_INVALID" },
    ]);
  }
  const outcome = await withTransaction(ctx, (tx) => lease(tx, input));
  if ("sliceId" in outcome) return outcome;
  if (!ctx.db.isTransaction) await recall(ctx, input, outcome.budget);
  throw outcome.error;
}

/** Why there is no slice; nothing was changed. */
interface Short {
  readonly error: StatusError;
  /** The budget that leaves too little; undefined where the balance does. */
  readonly budget?: BudgetUse;
}

async function lease(tx: TxCtx, input: LeaseInput): Promise<Slice | Short> {
  const { userId, wantNanos, currency, now, purpose } = input;
  const { availableNanos } = await readLockedBalance(tx, userId, currency);
  const budgets = purpose ? await readBudgets(tx, { ...purpose, userId, currency, at: now }) : [];
  const tightest = tightestOf(budgets);
  const spendableNanos = tightest ? lesserNanos(leftOf(tightest), availableNanos) : availableNanos;
  if (tightest && spendableNanos < wantNanos && leftOf(tightest) < availableNanos) {
    return { error: budgetExceeded(tightest, wantNanos, now), budget: tightest };
  }
  if (spendableNanos < wantNanos) {
    return { error: balanceTooLow({ neededNanos: wantNanos, availableNanos, currency }) };
  }
  const slice: Slice = {
    sliceId: input.sliceId ?? tx.random.uuid(),
    amountNanos: sliceNanos(wantNanos, spendableNanos),
    spendUntil: new Date(now.getTime() + SLICE_SPEND_MS),
    settleBy: new Date(now.getTime() + SLICE_SPEND_MS + SLICE_SETTLE_AFTER_MS),
    spendMs: SLICE_SPEND_MS,
  };
  await placeHold(tx, {
    holdId: slice.sliceId,
    key: `slice:${slice.sliceId}`,
    purpose: "slice",
    ownerId: userId,
    money: { currency, nanos: slice.amountNanos },
    at: now,
    expiresAt: slice.settleBy,
  });
  if (budgets.length > 0) await reserveInBudgets(tx, slice.sliceId, budgets);
  await insertSlice(tx, { ...slice, gatewayId: input.gatewayId, userId, leasedAt: now });
  return slice;
}

async function recall(ctx: DbCtx, input: LeaseInput, budget: BudgetUse | undefined): Promise<void> {
  if (budget) await recallBudget(ctx, budget);
  else await recallSlices(ctx, input);
}

/** The gateway's closing report: all usage under the slice was shipped. What is left is given back. Repeated: nothing. */
export function closeSlice(
  ctx: DbCtx,
  input: { gatewayId: string; sliceId: string; now: Date },
): Promise<void> {
  return withTransaction(ctx, async (tx) => {
    // The ledger's locks first, as everywhere: usage that is just being taken from it and this don't wait for each other.
    await lockHolds(tx, [input.sliceId]);
    if (!(await closeSliceRow(tx, input))) return;
    await endHold(tx, { holdId: input.sliceId, state: "released", at: input.now });
  });
}

/** Ends slices whose gateway never reported, past settleBy. Returns how many. Usage that comes later is written off. */
export async function settleSlices(ctx: DbCtx, input: { now: Date }): Promise<number> {
  let settled = 0;
  for (;;) {
    const batch = await withTransaction(ctx, (tx) => settleBatch(tx, input.now));
    settled += batch;
    if (batch < SETTLE_BATCH) return settled;
  }
}

async function settleBatch(tx: TxCtx, now: Date): Promise<number> {
  const due = await selectDueSlices(tx, now, SETTLE_BATCH);
  if (due.length === 0) return 0;
  await lockHolds(tx, due);
  const closed = await closeSliceRows(tx, due, now);
  for (const holdId of closed) await endHold(tx, { holdId, state: "expired", at: now });
  return closed.length;
}

/** Asks the gateways to close their slices of a user whose money is needed elsewhere. Returns how many are open. */
export function recallSlices(ctx: DbCtx, input: { userId: string }): Promise<number> {
  return notifySlices(ctx, input.userId, RECALL_MAX);
}

/** A wish within the share grows up to it; one beyond is granted as it is. */
function sliceNanos(wantNanos: bigint, availableNanos: bigint): bigint {
  const share = availableNanos / SHARE;
  if (wantNanos >= share) return wantNanos;
  const ahead = wantNanos * AHEAD;
  return ahead < share ? ahead : share;
}
