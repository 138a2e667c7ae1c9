/** Every statement on automatic top-ups. */
import { sql } from "kysely";
import type { DbCtx } from "../../../db/db.ts";

export interface AutoTopUp {
  readonly userId: string;
  readonly enabled: boolean;
  readonly currency: string;
  readonly thresholdNanos: bigint;
  readonly amountNanos: bigint;
  readonly dayMaxNanos: bigint;
  readonly monthMaxNanos: bigint;
  /** The number of the next payment: a part of its key. */
  readonly attempt: bigint;
  readonly failures: number;
  readonly failureReason: string | null;
  readonly failure: string | null;
  readonly nextAt: Date;
}

const COLUMNS = sql`
  t.user_id as "userId", t.enabled, t.currency, t.threshold as "thresholdNanos", t.amount as "amountNanos", t.day_max as "dayMaxNanos",
  t.month_max as "monthMaxNanos", t.attempt, t.failures, t.failure_reason as "failureReason", t.failure, t.next_at as "nextAt"`;

export async function selectAutoTopUp(ctx: DbCtx, userId: string): Promise<AutoTopUp | undefined> {
  const { rows } =
    await sql<AutoTopUp>`select ${COLUMNS} from auto_topup t where t.user_id = ${userId}`.execute(ctx.db);
  return rows[0];
}

export type Wanted = Pick<
  AutoTopUp,
  "userId" | "enabled" | "currency" | "thresholdNanos" | "amountNanos" | "dayMaxNanos" | "monthMaxNanos"
>;

/** Sets it, and forgets failures. The number of the next payment stays: one that is under way must not be made anew. */
export async function upsertAutoTopUp(ctx: DbCtx, wanted: Wanted, at: Date): Promise<void> {
  await sql`
    insert into auto_topup (user_id, enabled, currency, threshold, amount, day_max, month_max, next_at, updated_at)
    values (${wanted.userId}, ${wanted.enabled}, ${wanted.currency}, ${wanted.thresholdNanos}, ${wanted.amountNanos},
      ${wanted.dayMaxNanos}, ${wanted.monthMaxNanos}, ${at}, ${at})
    on conflict (user_id) do update set enabled = excluded.enabled, currency = excluded.currency, threshold = excluded.threshold,
      amount = excluded.amount, day_max = excluded.day_max, month_max = excluded.month_max, failures = 0,
      failure_reason = null, failure = null, next_at = excluded.next_at, updated_at = excluded.updated_at`.execute(
    ctx.db,
  );
}

/** Users whose turn it is and who have less than they want to; each is this worker's until `claimUntil`. */
export async function claimDue(
  ctx: DbCtx,
  input: { readonly now: Date; readonly claimUntil: Date; readonly limit: number },
): Promise<readonly AutoTopUp[]> {
  const { rows } = await sql<AutoTopUp>`
    update auto_topup t set next_at = ${input.claimUntil}
    where t.enabled and t.next_at <= ${input.now} and t.user_id in (
      select due.user_id from auto_topup due
        left join ledger_account a on a.owner_id = due.user_id and a.kind = 'user' and a.currency = due.currency
        left join ledger_balance b on b.account_id = a.id
      where due.enabled and due.next_at <= ${input.now} and coalesce(b.balance - b.held - case when b.credit > 0
          then ledger_expired(b.account_id, ${input.now}) else 0 end, 0) < due.threshold
      order by due.next_at limit ${input.limit})
    returning ${COLUMNS}`.execute(ctx.db);
  return rows;
}

export interface AttemptEnd {
  readonly userId: string;
  /** The attempt that ended; another worker may have ended it already. */
  readonly attempt: bigint;
  readonly nextAttempt: bigint;
  readonly enabled: boolean;
  readonly failures: number;
  readonly failureReason: string | null;
  readonly failure: string | null;
  readonly nextAt: Date;
  readonly at: Date;
}

/** What the user switched off meanwhile stays off. */
export async function endAttempt(ctx: DbCtx, end: AttemptEnd): Promise<void> {
  await sql`
    update auto_topup set attempt = ${end.nextAttempt}, enabled = enabled and ${end.enabled}, failures = ${end.failures},
      failure_reason = ${end.failureReason}, failure = ${end.failure}, next_at = ${end.nextAt}, updated_at = ${end.at}
    where user_id = ${end.userId} and attempt = ${end.attempt}`.execute(ctx.db);
}

/** What automatic payments have taken, or may be taking, since then. */
export async function sumTaken(
  ctx: DbCtx,
  input: { readonly userId: string; readonly currency: string; readonly since: Date },
): Promise<bigint> {
  const { rows } = await sql<{ total: bigint }>`
    select coalesce(sum(amount), 0)::bigint as total from payment_intent
    where user_id = ${input.userId} and currency = ${input.currency} and source = 'auto' and state <> 'failed'
      and created_at >= ${input.since}`.execute(ctx.db);
  return rows[0]?.total ?? 0n;
}
