import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { type Balance, emptyBalance } from "./model.ts";
import { lockBalance, rebuild, selectBalances, selectDifferences } from "./store.ts";

/** Balances of users in one currency; zero where there is no account yet. Same order as the ids. */
export async function readBalances(
  ctx: DbCtx,
  ownerIds: readonly string[],
  currency: string,
): Promise<readonly Balance[]> {
  const found = new Map(
    (await selectBalances(ctx, ownerIds, currency)).map((row) => [row.owner_id, balanceFrom(row, currency)]),
  );
  return ownerIds.map((id) => found.get(id) ?? emptyBalance(currency));
}

export async function readBalance(ctx: DbCtx, ownerId: string, currency: string): Promise<Balance> {
  const [balance] = await readBalances(ctx, [ownerId], currency);
  return balance ?? emptyBalance(currency);
}

/** The balance, locked until the transaction ends. */
export async function readLockedBalance(tx: TxCtx, ownerId: string, currency: string): Promise<Balance> {
  const row = await lockBalance(tx, ownerId, currency);
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

function balanceFrom(row: { balance: bigint; held: bigint }, currency: string): Balance {
  const { balance: totalNanos, held: heldNanos } = row;
  return { currency, totalNanos, heldNanos, availableNanos: totalNanos - heldNanos };
}
