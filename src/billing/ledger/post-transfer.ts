import { AMOUNT_MAX_NANOS } from "../../base/money.ts";
import { invalidArgument } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { balanceTooLow, keyReused, ledgerBroken } from "./errors.ts";
import { type PostInput, post } from "./store.ts";

/**
 * Moves money that no hold covers between the two accounts that the code names. A repeat of the key returns the first
 * transfer. Throws BALANCE_TOO_LOW, IDEMPOTENCY_KEY_REUSED (the key said something else before), AMOUNT_INVALID.
 */
export async function postTransfer(
  ctx: DbCtx,
  input: PostInput,
): Promise<{ readonly transferId: bigint; readonly created: boolean }> {
  requireAmount(input.money.nanos);
  const { outcome, transfer_id: transferId, available: availableNanos } = await post(ctx, input);
  if (outcome === "short") {
    const { nanos: neededNanos, currency } = input.money;
    throw balanceTooLow({ neededNanos, availableNanos, currency });
  }
  if (outcome === "conflict") throw keyReused();
  if (transferId === null) throw ledgerBroken("a posted transfer has no id");
  return { transferId, created: outcome === "posted" };
}

/** Throws AMOUNT_INVALID. */
export function requireAmount(nanos: bigint): void {
  if (nanos > 0n && nanos <= AMOUNT_MAX_NANOS) return;
  throw invalidArgument([
    {
      field: "amount",
      description: "must be above zero and at most a thousand million",
      reason: "AMOUNT_INVALID",
    },
  ]);
}
