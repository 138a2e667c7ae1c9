export { bookLine } from "./book-line.ts";
export { bookMissing, bookProcessorLines } from "./book-lines.ts";
export { type Reading, selectReading } from "./store.ts";
