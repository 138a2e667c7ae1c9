export { accountCode } from "./chart.ts";
export { journalQuery, listJournalLines } from "./list-journal-lines.ts";
export { type MonthRange, monthRange } from "./month.ts";
export type { JournalRow } from "./store.ts";
