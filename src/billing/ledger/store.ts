/** Every statement on the ledger. Money moves in the functions of the migration, one round trip each. */
import { sql } from "kysely";
import type { Money } from "../../base/money.ts";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { AccountKind, HoldPurpose, MovementCode } from "./model.ts";

export interface PostRow {
  readonly outcome: "posted" | "repeated" | "conflict" | "short";
  readonly transfer_id: bigint | null;
  readonly available: bigint;
}

export interface PostInput {
  /** What earned it: unique for ever. */
  readonly key: string;
  readonly code: MovementCode;
  /** Whose account; accounts of the installation are found by the code. */
  readonly ownerId: string;
  readonly money: Money;
  readonly at: Date;
}

export async function post(ctx: DbCtx, input: PostInput): Promise<PostRow> {
  const { key, code, ownerId, money, at } = input;
  const { rows } = await sql<PostRow>`
    select outcome, transfer_id, available
    from ledger_post(${key}, ${code}, ${ownerId}, ${money.currency}, ${money.nanos}, ${at})`.execute(ctx.db);
  return only(rows);
}

export interface PlaceInput {
  readonly holdId: string;
  readonly key: string;
  readonly purpose: HoldPurpose;
  readonly ownerId: string;
  readonly money: Money;
  readonly at: Date;
  /** Null: ends only by what it waits for. */
  readonly expiresAt: Date | null;
}

export interface PlaceRow {
  readonly outcome: "placed" | "repeated" | "conflict" | "short";
  readonly hold_id: string | null;
  readonly available: bigint;
}

export async function place(ctx: DbCtx, input: PlaceInput): Promise<PlaceRow> {
  const { holdId, key, purpose, ownerId, money, at, expiresAt } = input;
  const { rows } = await sql<PlaceRow>`
    select outcome, hold_id, available
    from ledger_place_hold(${holdId}, ${key}, ${purpose}, ${ownerId}, ${money.currency}, ${money.nanos}, ${at}, ${expiresAt})`.execute(
    ctx.db,
  );
  return only(rows);
}

export interface CaptureInput {
  readonly holdId: string;
  readonly key: string;
  readonly code: MovementCode;
  readonly nanos: bigint;
  /** True: what is left is given back and the hold is over. */
  readonly ends: boolean;
  readonly at: Date;
}

export interface CaptureRow {
  readonly outcome: "posted" | "repeated" | "conflict" | "ended" | "exceeds" | "unknown";
  readonly transfer_id: bigint | null;
}

/** In the order given: callers that take several accounts' money have locked them before. */
export async function capture(ctx: DbCtx, inputs: readonly CaptureInput[]): Promise<readonly CaptureRow[]> {
  if (inputs.length === 0) return [];
  const wanted = JSON.stringify(
    inputs.map((input, ord) => ({
      ...input,
      nanos: input.nanos.toString(),
      at: input.at.toISOString(),
      ord,
    })),
  );
  const { rows } = await sql<CaptureRow>`
    select done.outcome, done.transfer_id
    from (
      select * from jsonb_to_recordset(${wanted}::jsonb)
        as w(ord int, "holdId" uuid, key text, code text, nanos bigint, ends boolean, at timestamptz)
      order by ord
    ) w
    cross join lateral ledger_capture(w."holdId", w.key, w.code, w.nanos, w.ends, w.at) done
    order by w.ord`.execute(ctx.db);
  return rows;
}

export async function endHold(
  ctx: DbCtx,
  input: { holdId: string; state: "released" | "expired"; at: Date },
): Promise<boolean> {
  const { rows } = await sql<{ done: boolean }>`
    select ledger_end_hold(${input.holdId}, ${input.state}, ${input.at}) as done`.execute(ctx.db);
  return only(rows).done;
}

export interface LockedHold {
  readonly holdId: string;
  readonly restNanos: bigint;
  readonly placed: boolean;
}

/** Locks the balances behind the holds in one order, then the holds. Unknown ids are left out. */
export async function lockHolds(tx: TxCtx, holdIds: readonly string[]): Promise<readonly LockedHold[]> {
  const { rows } = await sql<{ hold_id: string; rest: bigint; state: string }>`
    select hold_id, rest, state from ledger_lock_holds(${[...holdIds]})`.execute(tx.db);
  return rows.map((row) => ({ holdId: row.hold_id, restNanos: row.rest, placed: row.state === "placed" }));
}

/** A balance as the books have it; `expired` is what of its credit nobody can spend any more, though it still lies there. */
export interface PurseRow {
  readonly balance: bigint;
  readonly held: bigint;
  readonly credit: bigint;
  readonly credit_held: bigint;
  readonly expired: bigint;
}

export async function lockPurse(
  tx: TxCtx,
  ownerId: string,
  currency: string,
  now: Date,
): Promise<PurseRow | undefined> {
  const { rows } = await sql<PurseRow>`
    select balance, held, credit, credit_held, expired from ledger_lock_purse(${ownerId}, ${currency}, ${now})`.execute(
    tx.db,
  );
  return rows[0];
}

export async function selectBalances(
  ctx: DbCtx,
  ownerIds: readonly string[],
  currency: string,
  now: Date,
): Promise<readonly (PurseRow & { readonly owner_id: string })[]> {
  const { rows } = await sql<PurseRow & { owner_id: string }>`
    select a.owner_id, b.balance, b.held, b.credit, b.credit_held,
      case when b.credit > 0 then ledger_expired(b.account_id, ${now}) else 0::bigint end as expired
    from ledger_account a join ledger_balance b on b.account_id = a.id
    where a.owner_id = any (${[...ownerIds]}) and a.kind = 'user' and a.currency = ${currency}`.execute(
    ctx.db,
  );
  return rows;
}

/** The sum of all accounts of a kind: revenue and clearing keep no row of their own. */
export async function sumOfKind(ctx: DbCtx, kind: AccountKind, currency: string): Promise<bigint> {
  const { rows } = await sql<{ total: bigint }>`
    select coalesce(sum(e.amount), 0)::bigint as total
    from ledger_account a join ledger_entry e on e.account_id = a.id
    where a.kind = ${kind} and a.currency = ${currency}`.execute(ctx.db);
  return only(rows).total;
}

/** What one owner's account of a kind sums to; 0 where there is none. */
export async function sumOfOwner(
  ctx: DbCtx,
  input: { readonly ownerId: string; readonly kind: AccountKind; readonly currency: string },
): Promise<bigint> {
  const { rows } = await sql<{ total: bigint }>`
    select coalesce(sum(e.amount), 0)::bigint as total
    from ledger_account a join ledger_entry e on e.account_id = a.id
    where a.owner_id = ${input.ownerId} and a.kind = ${input.kind} and a.currency = ${input.currency}`.execute(
    ctx.db,
  );
  return only(rows).total;
}

export async function selectTransferIds(
  ctx: DbCtx,
  keys: readonly string[],
): Promise<readonly { key: string; id: bigint }[]> {
  const { rows } = await sql<{ key: string; id: bigint }>`
    select key, id from ledger_transfer where key = any (${[...keys]})`.execute(ctx.db);
  return rows;
}

export async function rebuild(ctx: DbCtx): Promise<bigint> {
  const { rows } = await sql<{ wrong: bigint }>`select ledger_rebuild_balances() as wrong`.execute(ctx.db);
  return only(rows).wrong;
}

export async function selectDifferences(
  ctx: DbCtx,
): Promise<{ unbalancedTransfers: bigint; wrongBalances: bigint }> {
  const { rows } = await sql<{ unbalanced: bigint; wrong: bigint }>`
    select
      (select count(*) from ledger_transfer t where not exists (select from ledger_entry e where e.transfer_id = t.id))
      + (select count(*) from ledger_entry e where not exists (select from ledger_transfer t where t.id = e.transfer_id))
      + (select count(*) from
          (select from ledger_entry group by transfer_id, currency having sum(amount) <> 0) as uneven) as unbalanced,
      (select count(*) from ledger_projection p left join ledger_balance b on b.account_id = p.account_id
        where (b.balance, b.held, b.credit, b.credit_held) is distinct from (p.balance, p.held, p.credit, p.credit_held))
      + (select count(*) from ledger_pot_projection p join ledger_pot b on b.account_id = p.account_id
        where (b.balance, b.held) is distinct from (p.balance, p.held)) as wrong`.execute(ctx.db);
  const row = only(rows);
  return { unbalancedTransfers: row.unbalanced, wrongBalances: row.wrong };
}

function only<T>(rows: readonly T[]): T {
  const [row] = rows;
  if (row === undefined) throw new Error("ledger: a function returned no row");
  return row;
}
