import type { DbCtx } from "../../db/db.ts";
import { balanceTooLow, holdEnded, keyReused, ledgerBroken } from "./errors.ts";
import { type CaptureInput, capture, type PlaceInput, place } from "./store.ts";

/** Reserves money. A repeat of the key returns the first hold. Throws BALANCE_TOO_LOW, IDEMPOTENCY_KEY_REUSED. */
export async function placeHold(ctx: DbCtx, input: PlaceInput): Promise<{ readonly holdId: string }> {
  const { outcome, hold_id: holdId, available: availableNanos } = await place(ctx, input);
  if (outcome === "short") {
    const { nanos: neededNanos, currency } = input.money;
    throw balanceTooLow({ neededNanos, availableNanos, currency });
  }
  if (outcome === "conflict") throw keyReused();
  if (holdId === null) throw ledgerBroken("a placed hold has no id");
  return { holdId };
}

/**
 * Takes from holds, in the order given; several accounts must have been locked before (lockHolds). Returns the transfer of
 * each, null where nothing was taken. Throws HOLD_ENDED, IDEMPOTENCY_KEY_REUSED; more than a hold has left is a fault of ours.
 */
export async function captureHolds(
  ctx: DbCtx,
  inputs: readonly CaptureInput[],
): Promise<readonly (bigint | null)[]> {
  const rows = await capture(ctx, inputs);
  return rows.map(({ outcome, transfer_id: transferId }) => {
    if (outcome === "ended") throw holdEnded();
    if (outcome === "conflict") throw keyReused();
    if (outcome === "exceeds" || outcome === "unknown") throw ledgerBroken(`capture of a hold: ${outcome}`);
    return transferId;
  });
}
