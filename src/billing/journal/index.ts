export { accountCode } from "./chart.ts";
export { journalQuery, listJournalLines } from "./list-journal-lines.ts";
export type { JournalRow } from "./store.ts";
