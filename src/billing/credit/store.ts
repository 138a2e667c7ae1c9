/** Every statement on grants of credit. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { Credit } from "./model.ts";

export interface NewGrant {
  readonly grantId: string;
  readonly key: string;
  readonly userId: string;
  readonly operatorId: string;
  readonly reason: string;
  readonly testMoney: boolean;
  readonly expiresAt: Date | null;
  readonly transferId: bigint;
  readonly at: Date;
}

export async function insertGrant(tx: TxCtx, grant: NewGrant): Promise<void> {
  await sql`
    insert into credit_grant (id, key, user_id, operator_id, reason, test_money, transfer_id, created_at, expires_at)
    values (${grant.grantId}, ${grant.key}, ${grant.userId}, ${grant.operatorId}, ${grant.reason}, ${grant.testMoney},
      ${grant.transferId}, ${grant.at}, ${grant.expiresAt})`.execute(tx.db);
}

/** How many grants of a user end and have something left. */
export async function countEnding(
  ctx: DbCtx,
  { userId, currency }: { readonly userId: string; readonly currency: string },
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from ledger_pot
    where balance > 0 and expires_at is not null and purse_id = (
      select id from ledger_account where owner_id = ${userId} and kind = 'user' and currency = ${currency})`.execute(
    ctx.db,
  );
  return rows[0]?.count ?? 0;
}

/** What a user has of credit that has not expired, or that a hold has kept, in the order in which it is spent. */
export async function selectCredits(
  ctx: DbCtx,
  input: { readonly userId: string; readonly currency: string; readonly now: Date; readonly limit: number },
): Promise<readonly Credit[]> {
  const { userId, currency, now, limit } = input;
  const { rows } = await sql<Credit>`
    select coalesce(g.id::text, '') as "grantId", coalesce(g.reason, '') as reason, t.amount as "grantedNanos",
      case when p.expires_at <= ${now} then p.held else p.balance end as "leftNanos", p.held as "heldNanos",
      p.expires_at as "expiresAt"
    from ledger_pot p join ledger_account a on a.id = p.account_id
      left join credit_grant g on g.id = a.pot left join ledger_transfer t on t.id = g.transfer_id
    where p.balance > 0 and (p.expires_at is null or p.expires_at > ${now} or p.held > 0)
      and p.purse_id = (select id from ledger_account where owner_id = ${userId} and kind = 'user' and currency = ${currency})
    order by p.expires_at, p.account_id limit ${limit}`.execute(ctx.db);
  return rows;
}

export interface EndingGrant {
  readonly userId: string;
  readonly grantId: string;
  readonly currency: string;
  readonly leftNanos: bigint;
  readonly expiresAt: Date;
}

/** Marks grants that end soon as told, and returns those of which something is left and that were given for longer than that. */
export async function claimEnding(
  tx: TxCtx,
  input: { readonly now: Date; readonly until: Date; readonly beforeMs: number; readonly limit: number },
): Promise<readonly EndingGrant[]> {
  const { rows } = await sql<EndingGrant>`
    with claimed as (
      update credit_grant set warned_at = ${input.now} where id in (
        select id from credit_grant where expires_at <= ${input.until} and warned_at is null
        order by expires_at limit ${input.limit} for update skip locked)
      returning id, user_id, created_at, expires_at
    )
    select g.user_id as "userId", g.id as "grantId", a.currency, p.balance as "leftNanos", g.expires_at as "expiresAt"
    from claimed g join ledger_account a on a.owner_id = g.user_id and a.kind = 'credit' and a.pot = g.id
      join ledger_pot p on p.account_id = a.id
    where p.balance > 0 and g.expires_at > ${input.now}
      and g.created_at < g.expires_at - make_interval(secs => ${input.beforeMs / 1_000})
    order by g.user_id, g.expires_at`.execute(tx.db);
  return rows;
}
