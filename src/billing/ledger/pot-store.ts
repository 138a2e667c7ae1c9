/** Every statement on pots of credit. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";
import type { CreditCode } from "./pots.ts";
import type { PostInput, PostRow } from "./store.ts";

/** The pot of what never expires has no id of its own. */
const NEVER_EXPIRES = "00000000-0000-0000-0000-000000000000";

export interface GrantInput extends PostInput {
  readonly code: CreditCode;
  /** The grant's own pot; null: it does not expire. */
  readonly pot: { readonly potId: string; readonly expiresAt: Date } | null;
}

export async function grant(ctx: DbCtx, input: GrantInput): Promise<PostRow> {
  const { key, code, ownerId, money, pot, at } = input;
  const { rows } = await sql<PostRow>`
    select outcome, transfer_id, available from ledger_grant(${key}, ${code}, ${ownerId}, ${money.currency}, ${money.nanos},
      ${pot?.potId ?? NEVER_EXPIRES}, ${pot?.expiresAt ?? null}, ${at})`.execute(ctx.db);
  const [row] = rows;
  if (row === undefined) throw new Error("ledger: a function returned no row");
  return row;
}

export async function expire(
  ctx: DbCtx,
  accountId: bigint,
  at: Date,
): Promise<{ readonly transfer_id: bigint; readonly amount: bigint } | undefined> {
  const { rows } = await sql<{ transfer_id: bigint; amount: bigint }>`
    select transfer_id, amount from ledger_expire(${accountId}, ${at})`.execute(ctx.db);
  return rows[0];
}

/** What is left in a pot. */
export interface Pot {
  readonly accountId: bigint;
  readonly ownerId: string;
  readonly currency: string;
  /** The grant's id; null: the pot of all that does not expire. */
  readonly potId: string | null;
  readonly expiresAt: Date | null;
  readonly leftNanos: bigint;
  readonly heldNanos: bigint;
}

const POTS = sql`
  p.account_id as "accountId", a.owner_id as "ownerId", a.currency, nullif(a.pot, ${NEVER_EXPIRES}) as "potId",
  p.expires_at as "expiresAt", p.balance as "leftNanos", p.held as "heldNanos"
  from ledger_pot p join ledger_account a on a.id = p.account_id`;

/** A user's pots in which something is left, in the order in which they are spent. */
export async function selectPots(
  ctx: DbCtx,
  input: { readonly ownerId: string; readonly currency: string; readonly limit: number },
): Promise<readonly Pot[]> {
  const { rows } = await sql<Pot>`
    select ${POTS}
    where p.balance > 0 and p.purse_id = (select id from ledger_account
      where owner_id = ${input.ownerId} and kind = 'user' and currency = ${input.currency})
    order by p.expires_at, p.account_id limit ${input.limit}`.execute(ctx.db);
  return rows;
}

/** Pots that expired with something in them that nothing holds, the longest expired first. */
export async function selectDuePots(ctx: DbCtx, now: Date, limit: number): Promise<readonly Pot[]> {
  const { rows } = await sql<Pot>`
    select ${POTS} where p.expires_at <= ${now} and p.balance > p.held order by p.expires_at, p.account_id limit ${limit}`.execute(
    ctx.db,
  );
  return rows;
}
