import { lesserNanos, type Money } from "../../base/money.ts";
import type { TxCtx } from "../../db/db.ts";
import { type MovementCode, postTransfer, readLockedBalance } from "../ledger/index.ts";

/**
 * Takes money that is gone already: from the user what card money is available, and the rest as a debt. Holds stay, since what
 * they pay for is running; credit stays, since no card paid it.
 */
export async function takeMoney(
  tx: TxCtx,
  input: {
    readonly userId: string;
    readonly money: Money;
    /** What took it: unique for ever. */
    readonly key: string;
    readonly code: Extract<MovementCode, "refund.card" | "dispute.card">;
    readonly debtCode: Extract<MovementCode, "refund.receivable" | "dispute.receivable">;
  },
): Promise<void> {
  const { userId: ownerId, money, key } = input;
  const { currency } = money;
  const at = tx.clock.now();
  const { cardAvailableNanos } = await readLockedBalance(tx, ownerId, currency);
  const taken = lesserNanos(money.nanos, cardAvailableNanos);
  const owed = money.nanos - taken;
  if (taken > 0n) {
    await postTransfer(tx, { key, code: input.code, ownerId, money: { currency, nanos: taken }, at });
  }
  if (owed > 0n) {
    const debt = { currency, nanos: owed };
    await postTransfer(tx, { key: `${key}:debt`, code: input.debtCode, ownerId, money: debt, at });
  }
}
