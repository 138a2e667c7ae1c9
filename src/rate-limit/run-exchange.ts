import type { DbCtx } from "../db/db.ts";
import type { RateLimit } from "./rate-limit.ts";
import { countStore } from "./store.ts";

const EVERY_MS = 1_000;
/** After failures: a database that is away needs no reminder each second. */
const RETRY_MAX_MS = 15_000;

/** Exchanges counts with the other processes until the signal aborts. */
export async function runExchange(ctx: DbCtx, rateLimit: RateLimit, signal: AbortSignal): Promise<void> {
  const counts = countStore(ctx);
  let waitMs = EVERY_MS;
  while (!signal.aborted) {
    await ctx.clock.sleep(waitMs, signal).catch(() => {});
    if (signal.aborted) return;
    try {
      await rateLimit.exchange(counts);
      waitMs = EVERY_MS;
    } catch (error) {
      ctx.log.warn({ err: error }, "request counts could not be exchanged; each process counts by itself");
      waitMs = Math.min(waitMs * 2, RETRY_MAX_MS);
    }
  }
}
