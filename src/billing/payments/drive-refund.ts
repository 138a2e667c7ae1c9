/** Asks the processor for a refund until its answer is clear, always for the same one. */
import type { DbCtx } from "../../db/db.ts";
import { selectIntent } from "./intent-store.ts";
import type { PaymentProcessor, Refund } from "./processor.ts";
import { type RefundRow, selectRefund, selectUntouchedRefunds, touchRefund } from "./refund-store.ts";
import { settleRefund } from "./settle-refund.ts";

/** A refund without an end for so long has lost its caller, or is still at the bank. */
const RESUME_AFTER_MS = 60_000;
/** As with payments: an hour less than processors know a key for. */
const KEY_KNOWN_MS = 23 * 3_600_000;
/** Refunds driven on in one pass; the next pass takes the rest. */
const RESUME_MAX = 100;
/** Readings until none has been overtaken; the next pass reads again. */
const READS_MAX = 3;

/** Drives a refund that the processor has not heard of (`fresh`), or whatever is known. Throws when its outcome is not known. */
export async function driveRefund(
  ctx: DbCtx,
  processor: PaymentProcessor,
  asked: RefundRow,
  fresh: boolean,
): Promise<RefundRow> {
  let row = asked;
  for (let reads = 1; ; reads++) {
    const refund = await ask(ctx, processor, row, fresh && reads === 1);
    const settled = await settleRefund(ctx, row, refund);
    row = (await selectRefund(ctx, { refundId: row.refundId })) ?? row;
    if (settled || reads === READS_MAX) return row;
  }
}

async function ask(ctx: DbCtx, processor: PaymentProcessor, row: RefundRow, fresh: boolean): Promise<Refund> {
  if (row.processorId !== null) {
    const known = await processor.news?.refund(ctx, row.processorId);
    if (known) return known;
  }
  const { refundId: key, currency, amountNanos: nanos } = row;
  const paymentId = (await selectIntent(ctx, row.intentId))?.processorId ?? "";
  const found = fresh ? undefined : await processor.findRefund(ctx, { key, paymentId });
  if (found) return found;
  if (ctx.clock.now().getTime() - row.createdAt.getTime() > KEY_KNOWN_MS) return NEVER_MADE;
  return processor.refund(ctx, { key, paymentId, money: { currency, nanos } });
}

/** The processor has no such refund, and under a forgotten key it would make a second one. */
const NEVER_MADE: Refund = {
  processorId: "",
  outcome: {
    state: "failed",
    why: "The processor could not be reached in time. Nothing was refunded. Order it anew.",
  },
};

/** Drives on refunds whose end was lost or is not known yet. Returns how many. */
export async function resumeRefunds(
  ctx: DbCtx,
  processor: PaymentProcessor,
  input: { now: Date },
): Promise<number> {
  const before = new Date(input.now.getTime() - RESUME_AFTER_MS);
  const rows = await selectUntouchedRefunds(ctx, { processor: processor.name, before, limit: RESUME_MAX });
  for (const row of rows) {
    await driveRefund(ctx, processor, row, false).catch(async (error: unknown) => {
      ctx.log.warn({ err: error, refundId: row.refundId }, "a refund could not be driven on");
      await touchRefund(ctx, row.refundId, input.now);
    });
  }
  return rows.length;
}
