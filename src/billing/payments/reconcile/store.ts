/** Every statement of reconciliation: our rows of what the processor lists, what the ledger says of them, and what was found. */
import { sql } from "kysely";
import type { DbCtx } from "../../../db/db.ts";
import type { BalanceLine } from "./balances.ts";
import type { Finding } from "./compare.ts";

export interface PaymentRow {
  readonly id: string;
  readonly processorId: string | null;
  readonly userId: string;
  readonly currency: string;
}

export interface DisputeRow {
  readonly processorId: string;
  readonly moves: number;
}

/** Our payments of these ids at the processor, or of these keys. */
export async function selectPayments(
  ctx: DbCtx,
  input: { readonly processor: string; readonly ids: readonly string[]; readonly keys: readonly string[] },
): Promise<readonly PaymentRow[]> {
  const { rows } = await sql<PaymentRow>`
    select id, processor_id as "processorId", user_id as "userId", currency from payment_intent
    where processor = ${input.processor}
      and (processor_id = any (${[...input.ids]}) or id = any (${[...input.keys]}::uuid[]))`.execute(ctx.db);
  return rows;
}

export async function selectRefunds(
  ctx: DbCtx,
  input: { readonly processor: string; readonly ids: readonly string[]; readonly keys: readonly string[] },
): Promise<readonly PaymentRow[]> {
  const { rows } = await sql<PaymentRow>`
    select id, processor_id as "processorId", user_id as "userId", currency from payment_refund
    where processor = ${input.processor}
      and (processor_id = any (${[...input.ids]}) or id = any (${[...input.keys]}::uuid[]))`.execute(ctx.db);
  return rows;
}

export async function selectDisputes(
  ctx: DbCtx,
  input: { readonly processor: string; readonly ids: readonly string[] },
): Promise<readonly DisputeRow[]> {
  const { rows } = await sql<DisputeRow>`
    select dispute_id as "processorId", moves from payment_dispute
    where processor = ${input.processor} and dispute_id = any (${[...input.ids]})`.execute(ctx.db);
  return rows;
}

interface OursInput {
  readonly processor: string;
  readonly from: Date;
  readonly until: Date;
}

/** Processor's ids of payments that we credited and asked for in the span. */
export async function selectCredited(ctx: DbCtx, input: OursInput): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    select processor_id as id from payment_intent
    where processor = ${input.processor} and state = 'succeeded' and processor_id is not null
      and created_at >= ${input.from} and created_at < ${input.until}`.execute(ctx.db);
  return rows.map(({ id }) => id);
}

/** Processor's ids of refunds that went out of our books and were begun in the span. */
export async function selectRefunded(ctx: DbCtx, input: OursInput): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`
    select processor_id as id from payment_refund
    where processor = ${input.processor} and posted and processor_id is not null
      and created_at >= ${input.from} and created_at < ${input.until}`.execute(ctx.db);
  return rows.map(({ id }) => id);
}

export async function selectTransferAmounts(
  ctx: DbCtx,
  keys: readonly string[],
): Promise<ReadonlyMap<string, bigint>> {
  const { rows } = await sql<{ key: string; amount: bigint }>`
    select key, amount from ledger_transfer where key = any (${[...keys]})`.execute(ctx.db);
  return new Map(rows.map(({ key, amount }) => [key, amount]));
}

/**
 * What the ledger has at processors, over all time, and what our rows of payments, refunds and disputes add up to. They differ
 * only when something moved without a row, or a row without a movement.
 */
export async function selectTotals(
  ctx: DbCtx,
  currency: string,
): Promise<{ readonly ledgerNanos: bigint; readonly rowsNanos: bigint }> {
  const { rows } = await sql<{ ledger: bigint; rows: bigint }>`
    select
      (select coalesce(-sum(e.amount), 0)::bigint from ledger_account a join ledger_entry e on e.account_id = a.id
        where a.kind in ('processor.clearing', 'refunds', 'processor.fees', 'bank', 'exchange', 'processor.unassigned') and a.currency = ${currency}) as ledger,
      ((select coalesce(sum(amount), 0) from payment_intent where state = 'succeeded' and currency = ${currency})
        - (select coalesce(sum(amount), 0) from payment_refund where posted and currency = ${currency})
        - (select coalesce(sum(amount), 0) from payment_dispute where taken and currency = ${currency}))::bigint as rows`.execute(
    ctx.db,
  );
  return { ledgerNanos: rows[0]?.ledger ?? 0n, rowsNanos: rows[0]?.rows ?? 0n };
}

export interface Reconciliation {
  readonly processor: string;
  readonly currency: string;
  readonly from: Date;
  readonly until: Date;
  readonly finishedAt: Date;
  /** What the processor has of the span: payments less refunds and disputes. */
  readonly processorNanos: bigint;
  /** What the ledger says of the same payments, refunds and disputes. */
  readonly ledgerNanos: bigint;
  /** What no finding explains: the ledger's totals against our rows. 0 in good books. */
  readonly unexplainedNanos: bigint;
  /** Payments, refunds and disputes that were compared. */
  readonly compared: number;
  readonly findings: readonly Finding[];
  /** The processor's balances; empty where they could not be read. */
  readonly balances: readonly BalanceLine[];
}

export async function insertReconciliation(ctx: DbCtx, done: Reconciliation): Promise<void> {
  const json = (value: unknown) =>
    JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? inner.toString() : inner));
  await sql`
    insert into payment_reconciliation (id, processor, currency, from_at, until_at, finished_at, processor_nanos, ledger_nanos,
      unexplained_nanos, compared, findings, balances)
    values (${ctx.random.uuid()}, ${done.processor}, ${done.currency}, ${done.from}, ${done.until}, ${done.finishedAt},
      ${done.processorNanos}, ${done.ledgerNanos}, ${done.unexplainedNanos}, ${done.compared}, ${json(done.findings)}::jsonb,
      ${json(done.balances)}::jsonb)`.execute(ctx.db);
}

export interface LastReconciliation {
  readonly finishedAt: Date;
  /** Findings whose difference is still there, and currencies whose balance differs unexplained. */
  readonly openFindings: number;
  readonly differenceNanos: bigint;
  readonly unexplainedNanos: bigint;
}

/** The newest one; undefined before the first. */
export async function lastReconciliation(
  ctx: DbCtx,
  processor: string,
): Promise<LastReconciliation | undefined> {
  const { rows } = await sql<LastReconciliation>`
    select finished_at as "finishedAt", unexplained_nanos as "unexplainedNanos",
      processor_nanos - ledger_nanos as "differenceNanos",
      (select count(*)::int from jsonb_array_elements(findings) f where f ->> 'differenceNanos' <> '0')
        + (select count(*)::int from jsonb_array_elements(balances) b where b ->> 'unexplainedNanos' <> '0') as "openFindings"
    from payment_reconciliation where processor = ${processor} order by finished_at desc limit 1`.execute(
    ctx.db,
  );
  return rows[0];
}
