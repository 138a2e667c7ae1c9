/** Pots of credit: one for each grant that expires, and one for all that does not. */
import type { DbCtx } from "../../db/db.ts";
import { keyReused, ledgerBroken } from "./errors.ts";
import type { MovementCode } from "./model.ts";
import { requireAmount } from "./post-transfer.ts";
import { expire, type GrantInput, grant } from "./pot-store.ts";

/** Movements that bring credit. */
export type CreditCode = Extract<MovementCode, "credit.grant" | "adjustment.credit">;

/**
 * Gives credit into the pot of a grant, or into that of what never expires. A repeat of the key returns the first transfer. Throws
 * IDEMPOTENCY_KEY_REUSED (the key gave something else before), AMOUNT_INVALID.
 */
export async function postCredit(
  ctx: DbCtx,
  input: GrantInput,
): Promise<{ readonly transferId: bigint; readonly created: boolean }> {
  requireAmount(input.money.nanos);
  const { outcome, transfer_id: transferId } = await grant(ctx, input);
  if (outcome === "conflict") throw keyReused();
  if (transferId === null) throw ledgerBroken("a grant has no transfer");
  return { transferId, created: outcome === "posted" };
}

export interface ExpiredCredit {
  readonly transferId: bigint;
  readonly nanos: bigint;
}

/** Takes what is left of an expired pot and not held; null when there is nothing, or it has not expired. */
export async function expirePot(ctx: DbCtx, accountId: bigint, at: Date): Promise<ExpiredCredit | null> {
  const row = await expire(ctx, accountId, at);
  return row ? { transferId: row.transfer_id, nanos: row.amount } : null;
}
