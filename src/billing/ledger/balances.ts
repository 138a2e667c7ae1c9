import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { type Balance, emptyBalance } from "./model.ts";
import { lockPurse, type PurseRow, rebuild, selectBalances, selectDifferences } from "./store.ts";

/** Balances of users in one currency; zero where there is no account yet. Same order as the ids. */
export async function readBalances(
  ctx: DbCtx,
  ownerIds: readonly string[],
  currency: string,
): Promise<readonly Balance[]> {
  const found = new Map(
    (await selectBalances(ctx, ownerIds, currency, ctx.clock.now())).map((row) => [
      row.owner_id,
      balanceFrom(row, currency),
    ]),
  );
  return ownerIds.map((id) => found.get(id) ?? emptyBalance(currency));
}

export async function readBalance(ctx: DbCtx, ownerId: string, currency: string): Promise<Balance> {
  const [balance] = await readBalances(ctx, [ownerId], currency);
  return balance ?? emptyBalance(currency);
}

/** The balance, locked until the transaction ends. */
export async function readLockedBalance(tx: TxCtx, ownerId: string, currency: string): Promise<Balance> {
  const row = await lockPurse(tx, ownerId, currency, tx.clock.now());
  return row ? balanceFrom(row, currency) : emptyBalance(currency);
}

/** Writes every balance anew from entries and holds. Returns how many rows were wrong: more than 0 is a bug somewhere. */
export async function rebuildBalances(ctx: DbCtx): Promise<number> {
  return Number(await withTransaction(ctx, (tx) => rebuild(tx)));
}

/** What a check of the books finds; both are 0 in good books. */
export interface LedgerAudit {
  readonly unbalancedTransfers: number;
  readonly wrongBalances: number;
}

/** Reads every entry and hold: for checks by hand and for tests. */
export async function auditLedger(ctx: DbCtx): Promise<LedgerAudit> {
  const found = await selectDifferences(ctx);
  return {
    unbalancedTransfers: Number(found.unbalancedTransfers),
    wrongBalances: Number(found.wrongBalances),
  };
}

/** What has expired is gone, though the job that books it comes after. */
function balanceFrom(row: PurseRow, currency: string): Balance {
  const { held: heldNanos, expired } = row;
  const totalNanos = row.balance - expired;
  return {
    ...{ currency, totalNanos, heldNanos, availableNanos: totalNanos - heldNanos },
    creditNanos: row.credit - expired,
    cardAvailableNanos: row.balance - row.credit - (heldNanos - row.credit_held),
  };
}
