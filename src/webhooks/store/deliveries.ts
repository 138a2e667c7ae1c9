/** Statements on webhook_delivery that people ask for; those of the queue are in queue.ts. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { Attempt, Delivery, DeliveryStatus } from "../model.ts";

export interface DeliveryRow {
  readonly id: string;
  readonly endpoint_id: string;
  readonly user_id: string;
  readonly event_id: string;
  readonly type: string;
  readonly sequence: bigint;
  readonly payload: string;
  readonly status: DeliveryStatus;
  readonly attempt_count: number;
  readonly attempts_max: number;
  readonly attempts: readonly (Omit<Attempt, "startedAt"> & { readonly startedAt: string })[];
  readonly next_attempt_at: Date | null;
  readonly replay_of: string | null;
  readonly created_at: Date;
  readonly ended_at: Date | null;
}

export const DELIVERY_COLUMNS = sql`d.id, d.endpoint_id, d.user_id, d.event_id, ev.type, ev.sequence, ev.payload, d.status,
  d.attempt_count, d.attempts_max, d.attempts, d.next_attempt_at, d.replay_of, d.created_at, d.ended_at`;

export interface NewDelivery {
  readonly id: string;
  readonly eventId: string;
  readonly endpointId: string;
  readonly userId: string;
  readonly attemptsMax: number;
  readonly replayOf: string | null;
  /** Written down, not sent: too much waits there already. */
  readonly cancelled: boolean;
  readonly at: Date;
}

export async function insertDelivery(tx: TxCtx, one: NewDelivery): Promise<void> {
  await sql`
    insert into webhook_delivery (id, event_id, endpoint_id, user_id, status, attempts_max, next_attempt_at, replay_of, created_at, ended_at)
    values (${one.id}, ${one.eventId}, ${one.endpointId}, ${one.userId}, ${one.cancelled ? "CANCELLED" : "PENDING"},
      ${one.attemptsMax}, ${one.cancelled ? null : one.at}, ${one.replayOf}, ${one.at}, ${one.cancelled ? one.at : null})`.execute(
    tx.db,
  );
}

export async function selectDelivery(ctx: DbCtx, id: string): Promise<Delivery | undefined> {
  const { rows } = await sql<DeliveryRow>`
    select ${DELIVERY_COLUMNS} from webhook_delivery d join webhook_event ev on ev.id = d.event_id
    where d.id = ${id}`.execute(ctx.db);
  return rows[0] && deliveryOf(rows[0]);
}

export interface DeliveryQuery {
  readonly userId: string;
  /** "" for all. */
  readonly endpointId: string;
  /** Null for all. */
  readonly status: DeliveryStatus | null;
  readonly after: { readonly createdAt: Date; readonly id: string } | undefined;
  readonly limit: number;
}

/** Newest first. */
export async function selectDeliveries(ctx: DbCtx, query: DeliveryQuery): Promise<readonly Delivery[]> {
  const { userId, endpointId, status, after, limit } = query;
  const { rows } = await sql<DeliveryRow>`
    select ${DELIVERY_COLUMNS} from webhook_delivery d join webhook_event ev on ev.id = d.event_id
    where d.user_id = ${userId}
      and ${endpointId === "" ? sql`true` : sql`d.endpoint_id = ${endpointId}`}
      and ${status === null ? sql`true` : sql`d.status = ${status}`}
      and ${after ? sql`(d.created_at, d.id) < (${after.createdAt}, ${after.id}::uuid)` : sql`true`}
    order by d.created_at desc, d.id desc limit ${limit}`.execute(ctx.db);
  return rows.map(deliveryOf);
}

/** Ends everything that waits at an endpoint. */
export async function cancelPending(tx: TxCtx, endpointId: string, at: Date): Promise<void> {
  await sql`
    update webhook_delivery set status = 'CANCELLED', next_attempt_at = null, claimed_until = null, ended_at = ${at}
    where endpoint_id = ${endpointId} and status = 'PENDING'`.execute(tx.db);
}

export function deliveryOf(row: DeliveryRow): Delivery {
  return {
    id: row.id,
    endpointId: row.endpoint_id,
    userId: row.user_id,
    eventId: row.event_id,
    eventType: row.type,
    sequence: row.sequence,
    payload: row.payload,
    status: row.status,
    attemptCount: row.attempt_count,
    attemptsMax: row.attempts_max,
    attempts: row.attempts.map((one) => ({ ...one, startedAt: new Date(one.startedAt) })),
    nextAttemptAt: row.next_attempt_at,
    replayOf: row.replay_of,
    createdAt: row.created_at,
    endedAt: row.ended_at,
  };
}
