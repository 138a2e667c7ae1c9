export { type CheckBooksInput, checkBooks } from "./check-books.ts";
export { type BookCheck, CHECKS, type CheckName, type Finding } from "./model.ts";
export { lastCheck } from "./store.ts";
