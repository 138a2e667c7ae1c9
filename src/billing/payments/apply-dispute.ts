import { lesserNanos } from "../../base/money.ts";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import { postTransfer, readLockedBalance } from "../ledger/index.ts";
import { noteDispute } from "../news.ts";
import type { Apply } from "./apply-event.ts";
import { intentOf } from "./apply-payment.ts";
import { debtOf } from "./debt.ts";
import { isOver, phaseOf } from "./dispute-phase.ts";
import { type DisputeRow, lockDispute, selectDispute, updateDispute } from "./dispute-store.ts";
import type { PaymentProcessor } from "./processor.ts";
import { takeMoney } from "./take-money.ts";

const NOTHING: Apply = async () => true;

/** Reads a dispute from the processor, after our row of it. What the bank took is taken here; what it gives back comes back. */
export async function readDispute(
  ctx: DbCtx,
  processor: PaymentProcessor,
  disputeId: string,
): Promise<Apply> {
  const key = { processor: processor.name, disputeId };
  const seen = (await selectDispute(ctx, key))?.version ?? 0;
  const dispute = await processor.news?.dispute(ctx, disputeId);
  const intent = dispute && (await intentOf(ctx, processor, dispute.paymentId));
  if (!dispute || !intent) return NOTHING;
  const { status, reason, taken, money } = dispute;
  const { intentId, userId } = intent;
  return async (tx) => {
    const at = tx.clock.now();
    const found = { ...key, intentId, userId, status, reason, at };
    const row = await lockDispute(tx, { ...found, amountNanos: money.nanos, currency: money.currency });
    if (!row || row.version !== seen) return false;
    const moves = row.taken === taken ? row.moves : row.moves + 1;
    if (taken && !row.taken) await take(tx, { ...row, moves });
    if (!taken && row.taken) await giveBack(tx, { ...row, moves });
    await updateDispute(tx, key, { status, taken, moves, at });
    await noteChange(tx, { before: row, paymentId: dispute.paymentId, status, reason, taken });
    return true;
  };
}

/** Its beginning and its end; what lies between is the operator's to answer. */
async function noteChange(
  tx: TxCtx,
  change: {
    readonly before: DisputeRow;
    readonly paymentId: string;
    readonly status: string;
    readonly reason: string;
    readonly taken: boolean;
  },
): Promise<void> {
  const { before, paymentId, reason } = change;
  const { userId, disputeId, currency, amountNanos: nanos } = before;
  const phase = phaseOf(change);
  const note = { userId, paymentId, disputeId, amount: { currency, nanos }, status: phase, reason };
  // Nobody has heard of a row that was made just now.
  const isNew = before.version === 0;
  if (isNew) await noteDispute(tx, { ...note, over: false });
  if (isOver(phase) && (isNew || !isOver(phaseOf(before)))) await noteDispute(tx, { ...note, over: true });
}

function take(tx: TxCtx, row: DisputeRow): Promise<void> {
  const money = { currency: row.currency, nanos: row.amountNanos };
  const codes = { code: "dispute.card", debtCode: "dispute.receivable" } as const;
  return takeMoney(tx, { userId: row.userId, money, key: keyOf(row), ...codes });
}

/** What the user owes by now first, the rest to the user. */
async function giveBack(tx: TxCtx, row: DisputeRow): Promise<void> {
  const { userId: ownerId, currency, amountNanos } = row;
  await readLockedBalance(tx, ownerId, currency);
  const settled = lesserNanos(await debtOf(tx, ownerId, currency), amountNanos);
  const key = keyOf(row);
  const at = tx.clock.now();
  if (settled > 0n) {
    const money = { currency, nanos: settled };
    await postTransfer(tx, { key: `${key}:debt`, code: "dispute.settled", ownerId, money, at });
  }
  const rest = { currency, nanos: amountNanos - settled };
  if (rest.nanos > 0n) await postTransfer(tx, { key, code: "dispute.returned", ownerId, money: rest, at });
}

function keyOf({ processor, disputeId, moves }: DisputeRow): string {
  return `dispute:${processor}:${disputeId}:${moves}`;
}
