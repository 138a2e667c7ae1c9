/** The delivery as its own queue entry: taking it, and giving it back with what came of it. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { Attempt, Delivery, DeliveryStatus } from "../model.ts";
import { DELIVERY_COLUMNS, type DeliveryRow, deliveryOf } from "./deliveries.ts";

/** One claim after the other, so that each counts what the others have under way at an endpoint. Held to the commit. */
export async function lockClaims(tx: TxCtx): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtext('slipway_webhook_claims'))`.execute(tx.db);
}

export interface ClaimInput {
  readonly now: Date;
  readonly until: Date;
  readonly limit: number;
  /** Of one endpoint, those under way at other workers included: a slow receiver holds up itself alone. */
  readonly perEndpointMax: number;
}

/**
 * Takes due deliveries that nobody holds, and counts the attempt. The attempt's number is the claim. It walks from endpoint to
 * endpoint of those where something waits, so that a look costs nothing where nothing does, however long a queue is.
 */
export async function claimDue(ctx: DbCtx, input: ClaimInput): Promise<readonly Delivery[]> {
  const { now, until, limit, perEndpointMax } = input;
  const { rows } = await sql<DeliveryRow>`
    with recursive waiting (endpoint_id) as (
      (select endpoint_id from webhook_delivery where status = 'PENDING' order by endpoint_id limit 1)
      union all
      select (select w.endpoint_id from webhook_delivery w
        where w.status = 'PENDING' and w.endpoint_id > waiting.endpoint_id order by w.endpoint_id limit 1)
      from waiting where waiting.endpoint_id is not null
    ), due as (
      select one.id from waiting e cross join lateral (
        select w.id, w.next_attempt_at from webhook_delivery w
        where w.endpoint_id = e.endpoint_id and w.status = 'PENDING' and w.next_attempt_at <= ${now}
          and (w.claimed_until is null or w.claimed_until <= ${now})
        order by w.next_attempt_at
        limit greatest(0, ${perEndpointMax}::int - (
          select count(*)::int from webhook_delivery b
          where b.endpoint_id = e.endpoint_id and b.status = 'PENDING' and b.next_attempt_at <= ${now} and b.claimed_until > ${now}))
        for update skip locked
      ) one
      order by one.next_attempt_at limit ${limit}
    )
    update webhook_delivery d set claimed_until = ${until}, attempt_count = d.attempt_count + 1
    from due, webhook_event ev
    where d.id = due.id and ev.id = d.event_id
    returning ${DELIVERY_COLUMNS}`.execute(ctx.db);
  return rows.map(deliveryOf);
}

export interface AttemptEnd {
  readonly deliveryId: string;
  /** Null where the attempt was cut off before its end was known. */
  readonly attempt: Attempt | null;
  readonly number: number;
  readonly status: DeliveryStatus;
  readonly nextAttemptAt: Date | null;
  readonly at: Date;
}

/** Writes an attempt's end. False when the claim was lost meanwhile (its time was over, or the delivery cancelled): nothing is written. */
export async function endAttempt(tx: TxCtx, end: AttemptEnd): Promise<boolean> {
  const { deliveryId, attempt, number, status, nextAttemptAt, at } = end;
  const entry = JSON.stringify(attempt === null ? [] : [attempt]);
  const { numAffectedRows } = await sql`
    update webhook_delivery set attempts = attempts || ${entry}::jsonb, status = ${status}, next_attempt_at = ${nextAttemptAt},
      claimed_until = null, ended_at = ${status === "PENDING" ? null : at}
    where id = ${deliveryId} and attempt_count = ${number} and status = 'PENDING'`.execute(tx.db);
  return numAffectedRows === 1n;
}

/** Whether as much waits at an endpoint as may. */
export async function isFull(ctx: DbCtx, endpointId: string, pendingMax: number): Promise<boolean> {
  const { rows } = await sql`
    select from webhook_delivery where endpoint_id = ${endpointId} and status = 'PENDING' offset ${pendingMax - 1} limit 1`.execute(
    ctx.db,
  );
  return rows.length > 0;
}

/** What waits, and since when the longest due of it is; of an index that holds what waits alone. */
export async function selectQueueHealth(
  ctx: DbCtx,
): Promise<{ readonly waiting: number; readonly dueSince: Date | null; readonly failingEndpoints: number }> {
  const { rows } = await sql<{ waiting: number; due_since: Date | null; failing: number }>`
    select count(*)::int as waiting, min(next_attempt_at) as due_since,
      (select count(*)::int from webhook_endpoint where disabled_reason = 'FAILING') as failing
    from webhook_delivery where status = 'PENDING'`.execute(ctx.db);
  const [row] = rows;
  return {
    waiting: row?.waiting ?? 0,
    dueSince: row?.due_since ?? null,
    failingEndpoints: row?.failing ?? 0,
  };
}
