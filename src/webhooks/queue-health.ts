import type { DbCtx } from "../db/db.ts";
import { selectQueueHealth } from "./store/queue.ts";

export interface QueueHealth {
  /** Deliveries that have neither arrived nor been given up. */
  readonly waiting: number;
  /** How long the one that is due longest has been; 0 when none is. */
  readonly lagMs: number;
  /** Endpoints to which nothing is sent because nothing arrived there. */
  readonly failingEndpoints: number;
}

/** How the queue of deliveries stands, over all workers. */
export async function queueHealth(ctx: DbCtx): Promise<QueueHealth> {
  const now = ctx.clock.now();
  const { waiting, dueSince, failingEndpoints } = await selectQueueHealth(ctx);
  const lagMs = dueSince === null ? 0 : Math.max(0, now.getTime() - dueSince.getTime());
  return { waiting, lagMs, failingEndpoints };
}
