/** Months of UTC: pure. */
import { invalidArgument } from "../../base/status.ts";

export interface MonthRange {
  readonly from: Date;
  /** The first moment that no longer counts. */
  readonly to: Date;
}

/** "2026-02" as its first moment and the next month's, whatever its length. Throws INVALID_FIELD for what is no month. */
export function monthRange(month: string): MonthRange {
  const [, year, number] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(month) ?? [];
  const from = new Date(`${month}-01T00:00:00Z`);
  if (year === undefined || number === undefined || Number(year) < 1 || Number(year) > 9998) {
    throw invalidArgument([{ field: "month", description: "must be a month such as 2026-03" }]);
  }
  const to = new Date(from);
  to.setUTCMonth(to.getUTCMonth() + 1);
  return { from, to };
}
