/** The worker's loop around the queue. */
import type { DbCtx } from "../db/db.ts";
import { claimDeliveries, deliver } from "./deliver-due.ts";
import type { Delivery } from "./model.ts";
import type { WebhooksDeps } from "./ports.ts";

/** How late a delivery is found that became due; each look reads a short index range for each endpoint where something waits. */
const TICK_MS = 1_000;
/** Attempts under way at one worker: each is a socket and a few kilobytes. */
const UNDER_WAY_MAX = 64;

/** Delivers until the signal aborts, and ends when the attempts under way have: they are bounded. */
export async function runDeliveries(ctx: DbCtx, deps: WebhooksDeps, signal: AbortSignal): Promise<void> {
  const underWay = new Set<Promise<void>>();
  while (!signal.aborted) {
    const limit = UNDER_WAY_MAX - underWay.size;
    const claimed = await claimDeliveries(ctx, deps, { limit }).catch((error: unknown) => {
      ctx.log.error({ err: error }, "webhook deliveries could not be claimed");
      return [];
    });
    for (const delivery of claimed) {
      const attempt = attempted(ctx, deps, delivery).then(() => void underWay.delete(attempt));
      underWay.add(attempt);
    }
    while (underWay.size >= UNDER_WAY_MAX) await Promise.race(underWay);
    // What is waiting behind a full endpoint comes up as soon as one of its attempts has ended.
    await pause(ctx, claimed.length > 0 ? [...underWay] : [], signal);
  }
  await Promise.all(underWay);
}

/** Until the next look, or one of these has ended, or the signal aborts. The sleep ends with it: none piles up under load. */
async function pause(ctx: DbCtx, until: readonly Promise<void>[], signal: AbortSignal): Promise<void> {
  const awake = new AbortController();
  const tick = ctx.clock.sleep(TICK_MS, AbortSignal.any([signal, awake.signal])).catch(() => {});
  await Promise.race([tick, ...until]);
  awake.abort();
}

/** Faults of ours or of the database are logged; the claim lapses, and the delivery comes again. */
function attempted(ctx: DbCtx, deps: WebhooksDeps, delivery: Delivery): Promise<void> {
  return deliver(ctx, deps, delivery).catch((error: unknown) =>
    ctx.log.error({ err: error, deliveryId: delivery.id }, "a webhook delivery could not be attempted"),
  );
}
