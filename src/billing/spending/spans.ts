/** Rolling periods as the fewest minutes, hours and days that tile them: pure. */
import { GRAIN_MS, type Grain, nextStart, startOf } from "./roll-up.ts";

export const PERIODS = { "24h": 1, "7d": 7, "30d": 30 } as const;
export type Period = keyof typeof PERIODS;

/** Buckets of one grain that begin at `from` or later and before `to`; null: no end. */
export interface Span {
  readonly period: Period;
  readonly grain: Grain;
  readonly from: Date;
  readonly to: Date | null;
}

/** The spans of the 24 hours, 7 days and 30 days before `now`, each from the minute in which it began. */
export function spansOf(now: Date): readonly Span[] {
  const periods: readonly Period[] = ["24h", "7d", "30d"];
  return periods.flatMap((period) => tile(period, new Date(now.getTime() - PERIODS[period] * GRAIN_MS.day)));
}

function tile(period: Period, began: Date): readonly Span[] {
  const minute = startOf("minute", began);
  const hour = nextStart("hour", minute);
  const day = nextStart("day", hour);
  return [
    { period, grain: "minute", from: minute, to: hour },
    { period, grain: "hour", from: hour, to: day },
    // Without an end: a gateway's clock may be a little ahead of ours.
    { period, grain: "day", from: day, to: null },
  ];
}
