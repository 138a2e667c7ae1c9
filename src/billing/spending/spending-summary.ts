import type { DbCtx } from "../../db/db.ts";
import { readSettings } from "../settings.ts";
import { type Period, spansOf } from "./spans.ts";
import { selectSpans } from "./store.ts";

export interface SpendingSummary {
  readonly userId: string;
  readonly currency: string;
  /** Charged in the 24 hours, 7 days and 30 days before now, to the minute. */
  readonly nanos: Readonly<Record<Period, bigint>>;
}

/** What users spent lately, in the order asked for; zero for one who spent nothing or does not exist. */
export async function spendingSummaries(
  ctx: DbCtx,
  userIds: readonly string[],
): Promise<readonly SpendingSummary[]> {
  const { currency } = await readSettings(ctx);
  const sums = await selectSpans(ctx, {
    userIds: [...new Set(userIds)],
    currency,
    spans: spansOf(ctx.clock.now()),
  });
  const found = new Map(sums.map((sum) => [`${sum.userId}/${sum.period}`, sum.nanos]));
  return userIds.map((userId) => {
    const of = (period: Period) => found.get(`${userId}/${period}`) ?? 0n;
    return { userId, currency, nanos: { "24h": of("24h"), "7d": of("7d"), "30d": of("30d") } };
  });
}
