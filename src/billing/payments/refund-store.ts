/** Every statement on refunds. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";

export interface RefundRow {
  readonly refundId: string;
  readonly key: string;
  readonly intentId: string;
  readonly userId: string;
  readonly amountNanos: bigint;
  readonly currency: string;
  readonly processor: string;
  readonly processorId: string | null;
  /** Null: it was made at the processor, and nothing was held for it. */
  readonly holdId: string | null;
  readonly state: "pending" | "succeeded" | "failed";
  readonly failure: string | null;
  /** True while the ledger says that the money is out. */
  readonly posted: boolean;
  readonly version: number;
  readonly createdAt: Date;
}

const COLUMNS = sql`
  id as "refundId", key, intent_id as "intentId", user_id as "userId", amount as "amountNanos", currency, processor,
  processor_id as "processorId", hold_id as "holdId", state, failure, posted, version, created_at as "createdAt"`;

export interface NewRefund extends Omit<RefundRow, "state" | "failure" | "posted" | "version"> {
  readonly operatorId: string | null;
  readonly reason: string;
}

/** False when its key, or the processor's id, is known. */
export async function insertRefund(tx: TxCtx, refund: NewRefund): Promise<boolean> {
  const { rows } = await sql`
    insert into payment_refund (id, key, intent_id, user_id, operator_id, reason, amount, currency, processor, processor_id,
      hold_id, state, created_at, updated_at)
    values (${refund.refundId}, ${refund.key}, ${refund.intentId}, ${refund.userId}, ${refund.operatorId}, ${refund.reason},
      ${refund.amountNanos}, ${refund.currency}, ${refund.processor}, ${refund.processorId}, ${refund.holdId}, 'pending',
      ${refund.createdAt}, ${refund.createdAt})
    on conflict do nothing returning id`.execute(tx.db);
  return rows.length > 0;
}

export async function selectRefund(
  ctx: DbCtx,
  by:
    | { readonly refundId: string }
    | { readonly key: string }
    | { readonly processor: string; readonly processorId: string },
): Promise<RefundRow | undefined> {
  const where =
    "refundId" in by
      ? sql`id = ${by.refundId}`
      : "key" in by
        ? sql`key = ${by.key}`
        : sql`processor = ${by.processor} and processor_id = ${by.processorId}`;
  const { rows } = await sql<RefundRow>`select ${COLUMNS} from payment_refund where ${where}`.execute(ctx.db);
  return rows[0];
}

export async function lockRefund(tx: TxCtx, refundId: string): Promise<RefundRow | undefined> {
  const { rows } = await sql<RefundRow>`
    select ${COLUMNS} from payment_refund where id = ${refundId} for update`.execute(tx.db);
  return rows[0];
}

export async function updateRefund(
  tx: TxCtx,
  refundId: string,
  change: {
    readonly state: RefundRow["state"];
    /** "" leaves what is known. */
    readonly processorId: string;
    readonly failure: string | null;
    readonly posted: boolean;
    readonly at: Date;
  },
): Promise<void> {
  await sql`
    update payment_refund set state = ${change.state}, processor_id = coalesce(nullif(${change.processorId}, ''), processor_id),
      failure = ${change.failure}, posted = ${change.posted}, updated_at = ${change.at}, version = version + 1
    where id = ${refundId}`.execute(tx.db);
}

/** Puts one that could not be driven on behind the others. What is known of it stays as it is. */
export async function touchRefund(ctx: DbCtx, refundId: string, at: Date): Promise<void> {
  await sql`update payment_refund set updated_at = ${at} where id = ${refundId}`.execute(ctx.db);
}

/** Refunds without an end that nobody has touched since `before`, oldest first. */
export async function selectUntouchedRefunds(
  ctx: DbCtx,
  input: { readonly processor: string; readonly before: Date; readonly limit: number },
): Promise<readonly RefundRow[]> {
  const { rows } = await sql<RefundRow>`
    select ${COLUMNS} from payment_refund
    where state = 'pending' and processor = ${input.processor} and updated_at < ${input.before}
    order by updated_at limit ${input.limit}`.execute(ctx.db);
  return rows;
}

/** What of a payment is back at its card, or on its way there: refunds that have not failed and disputes that hold. */
export async function sumGivenBack(tx: TxCtx, intentId: string): Promise<bigint> {
  const { rows } = await sql<{ total: bigint }>`
    select ((select coalesce(sum(amount), 0) from payment_refund where intent_id = ${intentId} and state <> 'failed')
      + (select coalesce(sum(amount), 0) from payment_dispute where intent_id = ${intentId} and taken))::bigint as total`.execute(
    tx.db,
  );
  return rows[0]?.total ?? 0n;
}
