/** What a user owes since a dispute or a refund at the processor took more than was left: kept in `receivable`. */

import { formatMoney, lesserNanos } from "../../base/money.ts";
import { StatusError } from "../../base/status.ts";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import { postTransfer, readLockedBalance, sumOfOwner } from "../ledger/index.ts";

/** What the user owes, in nanos; 0 for almost everybody. */
export async function debtOf(ctx: DbCtx, userId: string, currency: string): Promise<bigint> {
  return -(await sumOfOwner(ctx, { ownerId: userId, kind: "receivable", currency }));
}

/** Pays of the debt what card money is available; credit never pays one. Keys of movements begin with what brought the money. */
export async function settleDebt(
  tx: TxCtx,
  input: { readonly userId: string; readonly currency: string; readonly key: string },
): Promise<void> {
  const { userId: ownerId, currency } = input;
  // The balance's lock first: every movement of a debt is made under it.
  const { cardAvailableNanos } = await readLockedBalance(tx, ownerId, currency);
  const debt = await debtOf(tx, ownerId, currency);
  const nanos = lesserNanos(debt, cardAvailableNanos);
  if (nanos <= 0n) return;
  await postTransfer(tx, {
    key: `${input.key}:debt`,
    code: "settle.receivable",
    ownerId,
    money: { currency, nanos },
    at: tx.clock.now(),
  });
}

/** Who owes gets nothing new on credit of the next payment. */
export function accountRestricted(debtNanos: bigint, currency: string): StatusError {
  const debt = formatMoney({ currency, nanos: debtNanos });
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "ACCOUNT_RESTRICTED",
    message: `A payment was taken back by the card's bank and ${debt} of it is missing. Top up: what is missing is settled first.`,
  });
}
