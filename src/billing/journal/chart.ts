/** The chart of accounts: the code under which bookkeeping knows each kind of the ledger's accounts. Codes are stable. */

const CHART: Readonly<Record<string, string>> = {
  bank: "1100",
  "processor.clearing": "1200",
  "processor.unassigned": "1290",
  receivable: "1300",
  user: "2100",
  credit: "2150",
  "revenue.gpu": "4100",
  "revenue.tokens": "4200",
  refunds: "4900",
  adjustments: "4950",
  "credit.granted": "6100",
  "writeoff.unfunded": "6200",
  "writeoff.late_usage": "6300",
  "processor.fees": "6400",
  exchange: "6900",
};

/** A kind that the chart does not know: to be sorted by hand, never left out. */
const UNSORTED = "9999";

/** "4100" of "revenue.gpu". */
export function accountCode(kind: string): string {
  return CHART[kind] ?? UNSORTED;
}
