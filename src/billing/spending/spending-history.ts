import type { DbCtx } from "../../db/db.ts";
import { readSettings } from "../settings.ts";
import { GRAIN_MS, startOf } from "./roll-up.ts";
import { type DayMoney, selectDays } from "./store.ts";

/** Today and the 30 days before it: every day that the rolling 30 days touch. */
const DAYS = 31;

export interface SpendingHistory {
  readonly currency: string;
  /** One a UTC day, oldest first, days without spending included; the last one is today and grows. */
  readonly days: readonly DayMoney[];
}

/** What a user spent and saved in each day of the last month. */
export async function spendingHistory(ctx: DbCtx, userId: string): Promise<SpendingHistory> {
  const { currency } = await readSettings(ctx);
  const today = startOf("day", ctx.clock.now()).getTime();
  const starts = Array.from({ length: DAYS }, (_, at) => today + (at + 1 - DAYS) * GRAIN_MS.day);
  const from = new Date(starts[0] ?? today);
  const to = new Date(today + GRAIN_MS.day);
  const found = new Map(
    (await selectDays(ctx, { userId, currency, from, to })).map((day) => [day.startsAt.getTime(), day]),
  );
  const days = starts.map(
    (start) => found.get(start) ?? { startsAt: new Date(start), chargeNanos: 0n, savingNanos: 0n },
  );
  return { currency, days };
}
