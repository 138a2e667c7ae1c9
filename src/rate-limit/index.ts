export type { RatePolicy, RateVerdict } from "./counter.ts";
export { createRateLimit, type RateLimit } from "./rate-limit.ts";
export { runExchange } from "./run-exchange.ts";
