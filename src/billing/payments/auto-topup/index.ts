export { runAutoTopUps } from "./run-auto-top-ups.ts";
export { type AutoTopUpInput, getAutoTopUp, setAutoTopUp } from "./set-auto-top-up.ts";
export type { AutoTopUp } from "./store.ts";
