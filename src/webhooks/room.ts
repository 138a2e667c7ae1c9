import { StatusError } from "../base/status.ts";
import type { TxCtx } from "../db/db.ts";
import { PENDING_MAX } from "./model.ts";
import { isFull } from "./store/queue.ts";

/** Throws TOO_MANY_DELIVERIES when as much waits at the endpoint as may. */
export async function requireRoom(tx: TxCtx, endpointId: string): Promise<void> {
  if (!(await isFull(tx, endpointId, PENDING_MAX))) return;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "TOO_MANY_DELIVERIES",
    message: `${PENDING_MAX} deliveries wait at this endpoint. Let them arrive, or disable the endpoint, which cancels them.`,
  });
}
