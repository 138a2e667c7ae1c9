/** Every statement on runways. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { Burn, Ending, Spendable } from "./runway.ts";

/** What a user's open windows cost an hour, and what was charged for tokens since then. */
export async function selectBurn(
  ctx: DbCtx,
  input: { readonly userId: string; readonly currency: string; readonly since: Date },
): Promise<Burn> {
  const { userId, currency, since } = input;
  const { rows } = await sql<Burn>`
    select (select coalesce(sum(nanos_per_hour), 0)::bigint from gpu_slot
        where user_id = ${userId} and state = 'open' and currency = ${currency}) as "burnNanosPerHour",
      (select coalesce(sum(charge_nanos), 0)::bigint from spend_bucket
        where user_id = ${userId} and currency = ${currency} and grain = 'minute' and kind = 'tokens'
          and starts_at >= ${since}) as "tokenNanosPerHour"`.execute(ctx.db);
  return rows[0] ?? { burnNanosPerHour: 0n, tokenNanosPerHour: 0n };
}

/** Credit of a purse that ends and that nothing holds, as JSON; the soonest first. */
const ENDINGS = sql`
  select coalesce(jsonb_agg(jsonb_build_object('nanos', (p.balance - p.held)::text, 'at', p.expires_at) order by p.expires_at), '[]')
  from ledger_pot p`;

interface EndingRow {
  /** Nanos as text: they outgrow a double. */
  readonly nanos: string;
  readonly at: string;
}

const endingsFrom = (rows: readonly EndingRow[]): readonly Ending[] =>
  rows.map(({ nanos, at }) => ({ nanos: BigInt(nanos), at: new Date(at) }));

/** A user's credit that ends, the soonest first. */
export async function selectEndings(
  ctx: DbCtx,
  input: { readonly userId: string; readonly currency: string; readonly now: Date },
): Promise<readonly Ending[]> {
  const { userId, currency, now } = input;
  const { rows } = await sql<{ endings: EndingRow[] }>`
    select (${ENDINGS} where p.balance > p.held and p.expires_at > ${now} and p.purse_id = (
      select id from ledger_account where owner_id = ${userId} and kind = 'user' and currency = ${currency})) as endings`.execute(
    ctx.db,
  );
  return endingsFrom(rows[0]?.endings ?? []);
}

export interface Spender extends Burn, Spendable {
  readonly userId: string;
  /** The mark that the user was told of; null: none. */
  readonly toldSeconds: number | null;
}

/** Users who spend now (an open window, or a gateway that may spend for them), and those who were told; by id, after `after`. */
export async function selectSpenders(
  ctx: DbCtx,
  input: {
    readonly currency: string;
    readonly now: Date;
    readonly since: Date;
    readonly after: string;
    readonly limit: number;
  },
): Promise<readonly Spender[]> {
  const { currency, now, since, after, limit } = input;
  const { rows } = await sql<Omit<Spender, "endings"> & { endings: EndingRow[] }>`
    with spender as (
      (select distinct user_id from gpu_slot where state = 'open' and user_id > ${after} order by 1 limit ${limit})
      union (select distinct user_id from token_slice where closed_at is null and user_id > ${after} order by 1 limit ${limit})
      union (select user_id from runway_mark where told_seconds is not null and user_id > ${after} order by 1 limit ${limit})
      order by user_id limit ${limit}
    )
    select s.user_id as "userId", m.told_seconds as "toldSeconds",
      coalesce(b.balance - b.held - case when b.credit > 0 then ledger_expired(b.account_id, ${now}) else 0 end, 0)::bigint
        as "availableNanos",
      case when b.credit > 0
        then (${ENDINGS} where p.purse_id = b.account_id and p.balance > p.held and p.expires_at > ${now}) else '[]' end as endings,
      (select coalesce(sum(nanos_per_hour), 0)::bigint from gpu_slot g
        where g.user_id = s.user_id and g.state = 'open' and g.currency = ${currency}) as "burnNanosPerHour",
      (select coalesce(sum(charge_nanos), 0)::bigint from spend_bucket p
        where p.user_id = s.user_id and p.currency = ${currency} and p.grain = 'minute' and p.kind = 'tokens'
          and p.starts_at >= ${since}) as "tokenNanosPerHour"
    from spender s left join runway_mark m on m.user_id = s.user_id
      left join ledger_account a on a.owner_id = s.user_id and a.kind = 'user' and a.currency = ${currency}
      left join ledger_balance b on b.account_id = a.id
    order by s.user_id`.execute(ctx.db);
  return rows.map((row) => ({ ...row, endings: endingsFrom(row.endings) }));
}

/** Notes what a user was told. False when another worker has changed it since it was read. */
export async function saveTold(
  tx: TxCtx,
  input: {
    readonly userId: string;
    readonly before: number | null;
    readonly after: number | null;
    readonly at: Date;
  },
): Promise<boolean> {
  const { rows } = await sql`
    insert into runway_mark as m (user_id, told_seconds, changed_at)
    select ${input.userId}, ${input.after}::int, ${input.at}
    where ${input.before}::int is null or exists (select from runway_mark where user_id = ${input.userId})
    on conflict (user_id) do update set told_seconds = excluded.told_seconds, changed_at = excluded.changed_at
      where m.told_seconds is not distinct from ${input.before}::int
    returning user_id`.execute(tx.db);
  return rows.length > 0;
}

/** Seconds, longest first. */
export async function selectMarks(ctx: DbCtx): Promise<readonly number[]> {
  const { rows } = await sql<{ marks: number[] }>`
    select runway_marks as marks from billing_settings`.execute(ctx.db);
  return rows[0]?.marks ?? [];
}

/** Of these users, who got money since their moment: a payment, credit, or what came back. */
export async function selectPaidSince(
  ctx: DbCtx,
  asked: readonly { readonly userId: string; readonly since: Date }[],
): Promise<readonly boolean[]> {
  const { rows } = await sql<{ paid: boolean }>`
    select exists (
        select from ledger_account a join ledger_entry e on e.account_id = a.id
        where a.owner_id = u.user_id and a.kind in ('user', 'credit') and e.at > u.since and e.amount > 0) as paid
    from unnest(${asked.map(({ userId }) => userId)}::uuid[], ${asked.map(({ since }) => since)}::timestamptz[])
      with ordinality as u(user_id, since, ord) order by u.ord`.execute(ctx.db);
  return rows.map(({ paid }) => paid);
}
