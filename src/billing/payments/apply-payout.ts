import type { DbCtx } from "../../db/db.ts";
import type { Apply } from "./apply-event.ts";
import type { PaymentProcessor } from "./processor.ts";
import { bookLine, selectReading } from "./transactions/index.ts";

const NOTHING: Apply = async () => true;

/** Reads a payout from the processor: what it took from the balance there, or brought back, is booked with the event. */
export async function readPayout(ctx: DbCtx, processor: PaymentProcessor, payoutId: string): Promise<Apply> {
  const payout = await processor.news?.payout(ctx, payoutId);
  const reading = await selectReading(ctx, processor.name);
  if (!payout) return NOTHING;
  if (payout.returned) {
    const { failure } = payout;
    ctx.log.error(
      { payoutId, failure },
      "a payout came back: look at the bank account in the processor's dashboard",
    );
  }
  // Before the books begin, and of lines from before, there is nothing to write: the opening holds them.
  const lines = reading ? payout.transactions.filter(({ at }) => at >= reading.since) : [];
  return async (tx) => {
    for (const line of lines) await bookLine(tx, processor.name, line);
    return true;
  };
}
