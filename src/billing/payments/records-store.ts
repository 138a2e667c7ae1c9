/** Statements that list refunds and disputes. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";
import type { RefundRow } from "./refund-store.ts";

export interface RefundRecord
  extends Pick<
    RefundRow,
    "refundId" | "userId" | "amountNanos" | "currency" | "processorId" | "state" | "failure" | "createdAt"
  > {
  /** The processor's id of the payment. */
  readonly paymentId: string;
  /** Null: it was made at the processor. */
  readonly operatorId: string | null;
  readonly reason: string;
  readonly updatedAt: Date;
}

export interface DisputeRecord {
  readonly disputeId: string;
  readonly paymentId: string;
  readonly userId: string;
  readonly amountNanos: bigint;
  readonly currency: string;
  /** The processor's words. */
  readonly status: string;
  readonly reason: string;
  readonly taken: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

interface ListInput {
  /** Undefined: of every user. */
  readonly userId: string | undefined;
  readonly after: { readonly at: Date; readonly id: string } | undefined;
  readonly limit: number;
}

/** Newest first. */
export async function selectRefundRecords(
  ctx: DbCtx,
  { userId, state, after, limit }: ListInput & { readonly state: string | undefined },
): Promise<readonly RefundRecord[]> {
  const of = userId === undefined ? sql`true` : sql`r.user_id = ${userId}`;
  const inState = state === undefined ? sql`true` : sql`r.state = ${state}`;
  const behind = after ? sql`(r.created_at, r.id) < (${after.at}, ${after.id}::uuid)` : sql`true`;
  const { rows } = await sql<RefundRecord>`
    select r.id as "refundId", r.user_id as "userId", r.amount as "amountNanos", r.currency, r.processor_id as "processorId", r.state,
      r.failure, r.created_at as "createdAt", r.updated_at as "updatedAt", coalesce(i.processor_id, '') as "paymentId",
      r.operator_id as "operatorId", r.reason
    from payment_refund r join payment_intent i on i.id = r.intent_id
    where ${of} and ${inState} and ${behind} order by r.created_at desc, r.id desc limit ${limit}`.execute(
    ctx.db,
  );
  return rows;
}

/** Newest first. */
export async function selectDisputeRecords(
  ctx: DbCtx,
  { userId, statuses, after, limit }: ListInput & { readonly statuses: readonly string[] | undefined },
): Promise<readonly DisputeRecord[]> {
  const of = userId === undefined ? sql`true` : sql`d.user_id = ${userId}`;
  const inState = statuses === undefined ? sql`true` : sql`d.status = any (${[...statuses]})`;
  const behind = after ? sql`(d.created_at, d.dispute_id) < (${after.at}, ${after.id})` : sql`true`;
  const { rows } = await sql<DisputeRecord>`
    select d.dispute_id as "disputeId", coalesce(i.processor_id, '') as "paymentId", d.user_id as "userId", d.amount as "amountNanos",
      d.currency, d.status, d.reason, d.taken, d.created_at as "createdAt", d.updated_at as "updatedAt"
    from payment_dispute d join payment_intent i on i.id = d.intent_id
    where ${of} and ${inState} and ${behind} order by d.created_at desc, d.dispute_id desc limit ${limit}`.execute(
    ctx.db,
  );
  return rows;
}
