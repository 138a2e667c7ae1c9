/** What the proof reads of the books to hold against the truth: only read, and past the code that is on trial. */
import { sql } from "kysely";
import type { DbCtx } from "../db/db.ts";

export interface BooksOfUser {
  /** All of it: card money and credit. */
  readonly balance: bigint;
  readonly held: bigint;
  readonly gpuHeld: bigint;
  /** By card and as credit. */
  readonly paid: bigint;
  readonly tokens: bigint;
  readonly gpu: bigint;
  /** Credit that nobody spent in time. */
  readonly expired: bigint;
  /** What all entries of the user's accounts sum to. */
  readonly total: bigint;
}

const NOTHING: BooksOfUser = {
  ...{ balance: 0n, held: 0n, gpuHeld: 0n, paid: 0n, tokens: 0n, gpu: 0n, expired: 0n, total: 0n },
};

export async function booksOf(ctx: DbCtx, userId: string): Promise<BooksOfUser> {
  const { rows } = await sql<BooksOfUser>`
    select b.balance, b.held,
      (select coalesce(sum(h.amount - h.captured), 0)::bigint from ledger_hold h
        where h.account_id = a.id and h.state = 'placed' and h.purpose = 'gpu.window') as "gpuHeld",
      e.*
    from ledger_account a join ledger_balance b on b.account_id = a.id
      cross join lateral (
        select coalesce(sum(e.amount) filter (where t.code in ('topup.card', 'credit.grant')), 0)::bigint as paid,
          coalesce(-sum(e.amount) filter (where t.code = 'charge.tokens'), 0)::bigint as tokens,
          coalesce(-sum(e.amount) filter (where t.code = 'charge.gpu'), 0)::bigint as gpu,
          coalesce(-sum(e.amount) filter (where t.code = 'credit.expire'), 0)::bigint as expired,
          coalesce(sum(e.amount), 0)::bigint as total
        from ledger_account own join ledger_entry e on e.account_id = own.id join ledger_transfer t on t.id = e.transfer_id
        where own.owner_id = a.owner_id and own.kind in ('user', 'credit')) e
    where a.owner_id = ${userId} and a.kind = 'user'`.execute(ctx.db);
  return rows[0] ?? NOTHING;
}

/** The least that a user's accounts ever held together, replayed in the order in which their entries were written. */
export async function leastOf(ctx: DbCtx, userId: string): Promise<bigint> {
  const { rows } = await sql<{ least: bigint }>`
    select coalesce(min(running), 0)::bigint as least from (
      select sum(sum(e.amount)) over (order by e.transfer_id) as running
      from ledger_entry e join ledger_account a on a.id = e.account_id
      where a.owner_id = ${userId} and a.kind in ('user', 'credit') group by e.transfer_id) history`.execute(
    ctx.db,
  );
  return rows[0]?.least ?? 0n;
}

export interface ReceiptRow {
  readonly requestId: string;
  readonly sliceId: string | null;
  readonly charged: bigint;
  readonly writtenOff: bigint;
}

export async function receiptsOf(ctx: DbCtx, userId: string): Promise<readonly ReceiptRow[]> {
  const { rows } = await sql<ReceiptRow>`
    select request_id as "requestId", slice_id as "sliceId", charge_nanos as charged, written_off_nanos as "writtenOff"
    from usage_record where user_id = ${userId}`.execute(ctx.db);
  return rows;
}

export interface SlotRow {
  readonly deploymentId: string;
  readonly chargedMs: bigint;
  readonly unfundedMs: bigint;
  readonly charged: bigint;
}

export async function slotsOf(ctx: DbCtx, userId: string): Promise<readonly SlotRow[]> {
  const { rows } = await sql<SlotRow>`
    select s.deployment_id as "deploymentId", s.open_ms + s.closed_ms as "chargedMs", s.unfunded_ms as "unfundedMs",
      (select coalesce(sum(w.charge_nanos), 0)::bigint from gpu_window w where w.deployment_id = s.deployment_id) as charged
    from gpu_slot s where s.user_id = ${userId}`.execute(ctx.db);
  return rows;
}

export interface BudgetUseRow {
  readonly startsAt: Date;
  readonly spent: bigint;
  readonly reserved: bigint;
}

export async function budgetUsesOf(ctx: DbCtx, budgetId: string): Promise<readonly BudgetUseRow[]> {
  const { rows } = await sql<BudgetUseRow>`
    select starts_at as "startsAt", spent, reserved from budget_use where budget_id = ${budgetId}`.execute(
    ctx.db,
  );
  return rows;
}
