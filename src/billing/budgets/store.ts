/** Every statement on budgets. What is spent and reserved moves in the functions of the migration, with the holds. */
import { type RawBuilder, sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import {
  BUDGET_PERIODS,
  type Budget,
  type BudgetKind,
  type BudgetSubject,
  type BudgetUse,
  type Purpose,
  periodOf,
} from "./model.ts";

const COLUMNS = sql`
  b.id as "budgetId", b.user_id as "userId", b.kind, b.subject, b.period, b.currency, b.amount as "limitNanos",
  b.created_at as "createdAt", b.changed_at as "changedAt"`;

type UseRow = Omit<BudgetUse, "startsAt" | "resetsAt">;

/** Live budgets that `which` says, with their use in the period of `at`. */
async function selectUses(
  ctx: DbCtx,
  which: RawBuilder<unknown>,
  at: Date,
  limit: number,
): Promise<readonly BudgetUse[]> {
  const starts = BUDGET_PERIODS.map((period) => periodOf(period, at).startsAt);
  const { rows } = await sql<UseRow>`
    select ${COLUMNS}, coalesce(u.spent, 0) as "spentNanos", coalesce(u.reserved, 0) as "reservedNanos"
    from budget b
      join unnest(${[...BUDGET_PERIODS]}::text[], ${starts}::timestamptz[]) as p(period, starts_at) on p.period = b.period
      left join budget_use u on u.budget_id = b.id and u.starts_at = p.starts_at
    where b.removed_at is null and ${which}
    order by b.kind, b.subject, b.period, b.id limit ${limit}`.execute(ctx.db);
  return rows.map((row) => ({ ...row, ...periodOf(row.period, at) }));
}

/** One of each kind and period at most. */
const APPLYING_MAX = 9;

/** The budgets that bound a purpose. */
export function selectApplying(ctx: DbCtx, purpose: Purpose): Promise<readonly BudgetUse[]> {
  const { userId, currency, keyId = null, modelId = null, servedName = null } = purpose;
  const which = sql`b.user_id = ${userId} and b.currency = ${currency} and (
    (b.kind = 'key' and b.subject = ${keyId}) or (b.kind = 'model' and b.subject = ${modelId})
    or (b.kind = 'catalog' and b.subject = ${servedName}))`;
  return selectUses(ctx, which, purpose.at, APPLYING_MAX);
}

/** A user's budgets, or those of one kind, one subject, or both. */
export function selectBudgets(
  ctx: DbCtx,
  input: {
    readonly userId: string;
    readonly of?: Partial<BudgetSubject>;
    readonly at: Date;
    readonly limit: number;
  },
): Promise<readonly BudgetUse[]> {
  const { kind = null, subject = null } = input.of ?? {};
  const which = sql`b.user_id = ${input.userId} and (${kind}::text is null or b.kind = ${kind})
    and (${subject}::text is null or b.subject = ${subject})`;
  return selectUses(ctx, which, input.at, input.limit);
}

/** What each of these models' own budgets allow at `at`. */
export function selectModelBudgets(
  ctx: DbCtx,
  input: { readonly modelIds: readonly string[]; readonly at: Date; readonly limit: number },
): Promise<readonly BudgetUse[]> {
  const which = sql`b.kind = 'model' and b.subject = any (${[...input.modelIds]})`;
  return selectUses(ctx, which, input.at, input.limit);
}

/** When the newest of a model's removed budgets went, by model. */
export async function selectRemovals(
  ctx: DbCtx,
  modelIds: readonly string[],
): Promise<ReadonlyMap<string, Date>> {
  const { rows } = await sql<{ subject: string; at: Date }>`
    select subject, max(removed_at) as at from budget
    where kind = 'model' and subject = any (${[...modelIds]}) and removed_at is not null group by subject`.execute(
    ctx.db,
  );
  return new Map(rows.map((row) => [row.subject, row.at]));
}

/** Counts a hold in the budgets, under the user's balance lock. */
export async function reserveInBudgets(tx: TxCtx, holdId: string, uses: readonly BudgetUse[]): Promise<void> {
  await sql`select budget_reserve(${holdId}, ${uses.map((use) => use.budgetId)}::uuid[],
    ${uses.map((use) => use.startsAt)}::timestamptz[])`.execute(tx.db);
}

/** Sets the limit of a live budget, or makes one. */
export async function upsertBudget(tx: TxCtx, budget: Budget): Promise<string> {
  const { rows } = await sql<{ id: string }>`
    insert into budget (id, user_id, kind, subject, period, currency, amount, created_at, changed_at)
    values (${budget.budgetId}, ${budget.userId}, ${budget.kind}, ${budget.subject}, ${budget.period}, ${budget.currency},
      ${budget.limitNanos}, ${budget.createdAt}, ${budget.changedAt})
    on conflict (user_id, kind, subject, period) where removed_at is null
      do update set amount = excluded.amount, changed_at = excluded.changed_at
    returning id`.execute(tx.db);
  return rows[0]?.id ?? budget.budgetId;
}

/** How many budgets a user has; locks the user, so that two makers at once count each other. */
export async function countBudgetsLocked(tx: TxCtx, userId: string): Promise<number> {
  await sql`select from users where id = ${userId} for no key update`.execute(tx.db);
  const { rows } = await sql<{ count: bigint }>`
    select count(*) as count from budget where user_id = ${userId} and removed_at is null`.execute(tx.db);
  return Number(rows[0]?.count ?? 0n);
}

export async function lockBudget(
  tx: TxCtx,
  budgetId: string,
): Promise<(Budget & { readonly removedAt: Date | null }) | undefined> {
  const { rows } = await sql<Budget & { removedAt: Date | null }>`
    select ${COLUMNS}, b.removed_at as "removedAt" from budget b where b.id = ${budgetId} for update`.execute(
    tx.db,
  );
  return rows[0];
}

export async function updateRemoved(tx: TxCtx, budgetId: string, at: Date): Promise<void> {
  await sql`update budget set removed_at = ${at} where id = ${budgetId} and removed_at is null`.execute(
    tx.db,
  );
}

/** What of a user's is bounded: each once. */
export async function selectSubjects(ctx: DbCtx, userId: string): Promise<readonly BudgetSubject[]> {
  const { rows } = await sql<{ kind: BudgetKind; subject: string }>`
    select distinct kind, subject from budget where user_id = ${userId} and removed_at is null`.execute(
    ctx.db,
  );
  return rows;
}

/** Slices that are called back at once; a user has few gateways. */
const RECALL_MAX = 100;

/** Asks the gateways for a user's open slices, or for those that keep some of one budget's period. Returns how many were asked for. */
export async function callBackSlices(
  ctx: DbCtx,
  input: { readonly userId: string; readonly of?: Pick<BudgetUse, "budgetId" | "startsAt"> },
): Promise<number> {
  const { userId, of } = input;
  const keeps = of
    ? sql`exists (select from budget_hold h
        where h.hold_id = s.id and h.budget_id = ${of.budgetId} and h.starts_at = ${of.startsAt})`
    : sql`true`;
  const { rows } = await sql`
    select pg_notify('slipway_slices', id::text) from (
      select s.id from token_slice s where s.user_id = ${userId} and s.closed_at is null and ${keeps}
      order by s.leased_at limit ${RECALL_MAX}) open`.execute(ctx.db);
  return rows.length;
}
