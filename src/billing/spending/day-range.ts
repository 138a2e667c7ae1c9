/** Which days of UTC a question is about: pure. */
import { invalidArgument } from "../../base/status.ts";
import { GRAIN_MS, nextStart, startOf } from "./roll-up.ts";

/** Today and the 30 days before it, as in the spending history. */
const DAYS_DEFAULT = 31;
/** Bounds how many rows one answer sums: a year, and room to compare it with the month before. */
const DAYS_MAX = 400;
/** What RFC 3339 can write. */
const EARLIEST = Date.parse("0001-01-01T00:00:00Z");
const LATEST = Date.parse("9999-12-31T00:00:00Z");

/** Whole days: from the start of one, to the start of another that no longer counts. */
export interface DayRange {
  readonly from: Date;
  readonly to: Date;
}

/** Null is the default. Throws INVALID_FIELD for no day at all, too many, or a time that no calendar has. */
export function dayRange(asked: { startTime: Date | null; endTime: Date | null }, now: Date): DayRange {
  const to = asked.endTime
    ? nextStart("day", asked.endTime)
    : new Date(startOf("day", now).getTime() + GRAIN_MS.day);
  const from = asked.startTime
    ? startOf("day", asked.startTime)
    : new Date(to.getTime() - DAYS_DEFAULT * GRAIN_MS.day);
  const field = asked.endTime ? "end_time" : "start_time";
  if (!(from.getTime() >= EARLIEST && to.getTime() <= LATEST)) {
    throw invalidArgument([{ field, description: "must lie in the years 1 to 9999" }]);
  }
  if (from >= to) {
    const description = asked.endTime ? "must be after startTime" : "must not be after today";
    throw invalidArgument([{ field, description }]);
  }
  if (to.getTime() - from.getTime() > DAYS_MAX * GRAIN_MS.day) {
    throw invalidArgument([{ field, description: `must leave at most ${DAYS_MAX} days` }]);
  }
  return { from, to };
}
