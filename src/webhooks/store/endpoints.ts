/** Every statement on webhook_endpoint. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { DisabledReason, Endpoint, SealedSecrets } from "../model.ts";

interface Row {
  readonly id: string;
  readonly user_id: string;
  readonly url: string;
  readonly description: string;
  readonly event_types: readonly string[];
  readonly disabled_reason: DisabledReason | null;
  readonly disabled_message: string;
  readonly disabled_at: Date | null;
  readonly failing_since: Date | null;
  readonly last_delivered_at: Date | null;
  readonly former_secret_ends_at: Date | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const COLUMNS = sql`id, user_id, url, description, event_types, disabled_reason, disabled_message, disabled_at, failing_since,
  last_delivered_at, former_secret_ends_at, created_at, updated_at`;

/** How many endpoints a user has. Locks the user's row, so that two makers at once count each other. */
export async function countEndpointsLocked(tx: TxCtx, userId: string): Promise<number> {
  await sql`select from users where id = ${userId} for no key update`.execute(tx.db);
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from webhook_endpoint where user_id = ${userId}`.execute(tx.db);
  return rows[0]?.count ?? 0;
}

export async function insertEndpoint(tx: TxCtx, endpoint: Endpoint, secret: Buffer): Promise<void> {
  const { id, userId, url, description, eventTypes, createdAt } = endpoint;
  await sql`
    insert into webhook_endpoint (id, user_id, url, description, event_types, secret_sealed, created_at, updated_at)
    values (${id}, ${userId}, ${url}, ${description}, ${[...eventTypes]}, ${secret}, ${createdAt}, ${createdAt})`.execute(
    tx.db,
  );
}

/** Oldest first. */
export async function selectEndpoints(ctx: DbCtx, userId: string): Promise<readonly Endpoint[]> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from webhook_endpoint where user_id = ${userId} order by created_at, id`.execute(
    ctx.db,
  );
  return rows.map(endpointOf);
}

export async function selectEndpoint(ctx: DbCtx, id: string): Promise<Endpoint | undefined> {
  const { rows } = await sql<Row>`select ${COLUMNS} from webhook_endpoint where id = ${id}`.execute(ctx.db);
  return rows[0] && endpointOf(rows[0]);
}

/** Locked until the transaction ends; always before its deliveries, so that nobody waits in a circle. */
export async function lockEndpoint(tx: TxCtx, id: string): Promise<Endpoint | undefined> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from webhook_endpoint where id = ${id} for no key update`.execute(tx.db);
  return rows[0] && endpointOf(rows[0]);
}

/** Endpoints of a user that take a type, with whether too much waits there already. None of them goes before the commit. */
export async function lockSubscribed(
  tx: TxCtx,
  input: { userId: string; type: string; every: string; pendingMax: number },
): Promise<readonly { readonly id: string; readonly full: boolean }[]> {
  const { rows } = await sql<{ id: string; full: boolean }>`
    select e.id, exists (
      select from webhook_delivery d where d.endpoint_id = e.id and d.status = 'PENDING' offset ${input.pendingMax - 1}
    ) as full
    from webhook_endpoint e
    where e.user_id = ${input.userId} and e.disabled_at is null and e.event_types && ${[input.type, input.every]}
    order by e.id for key share`.execute(tx.db);
  return rows;
}

export interface Target extends SealedSecrets {
  readonly url: string;
  readonly isDisabled: boolean;
}

/** What is needed to send there. */
export async function selectTarget(ctx: DbCtx, id: string): Promise<Target | undefined> {
  const { rows } = await sql<Target>`
    select url, disabled_at is not null as "isDisabled", secret_sealed as secret, former_secret_sealed as former, former_secret_ends_at as "formerEndsAt"
    from webhook_endpoint where id = ${id}`.execute(ctx.db);
  return rows[0];
}

/** What its owner changes. Enabling forgets past failures. */
export async function updateEndpoint(tx: TxCtx, endpoint: Endpoint): Promise<void> {
  const { disabled } = endpoint;
  await sql`
    update webhook_endpoint set url = ${endpoint.url}, description = ${endpoint.description},
      event_types = ${[...endpoint.eventTypes]}, disabled_reason = ${disabled?.reason ?? null},
      disabled_message = ${disabled?.message ?? ""}, disabled_at = ${disabled?.at ?? null},
      failing_since = ${endpoint.failingSince}, updated_at = ${endpoint.updatedAt}
    where id = ${endpoint.id}`.execute(tx.db);
}

/** The present secret becomes the former one; one that was former before is gone. Without an end there is no former one. */
export async function updateSecret(
  tx: TxCtx,
  input: { id: string; secret: Buffer; formerEndsAt: Date | null; now: Date },
): Promise<void> {
  const { id, secret, formerEndsAt, now } = input;
  await sql`
    update webhook_endpoint set
      former_secret_sealed = case when ${formerEndsAt}::timestamptz is not null then secret_sealed end,
      former_secret_ends_at = ${formerEndsAt}, secret_sealed = ${secret}, updated_at = ${now}
    where id = ${id}`.execute(tx.db);
}

/** What an attempt says of its endpoint. */
export async function updateHealth(tx: TxCtx, endpoint: Endpoint): Promise<void> {
  const { disabled } = endpoint;
  await sql`
    update webhook_endpoint set failing_since = ${endpoint.failingSince}, last_delivered_at = ${endpoint.lastDeliveredAt},
      disabled_reason = ${disabled?.reason ?? null}, disabled_message = ${disabled?.message ?? ""},
      disabled_at = ${disabled?.at ?? null}
    where id = ${endpoint.id}`.execute(tx.db);
}

/** With its secrets and deliveries. False when it is gone already. */
export async function deleteEndpoint(tx: TxCtx, id: string): Promise<boolean> {
  const { numAffectedRows } = await sql`delete from webhook_endpoint where id = ${id}`.execute(tx.db);
  return numAffectedRows === 1n;
}

function endpointOf(row: Row): Endpoint {
  const { disabled_reason: reason, disabled_message: message, disabled_at: at } = row;
  return {
    id: row.id,
    userId: row.user_id,
    url: row.url,
    description: row.description,
    eventTypes: row.event_types,
    disabled: reason !== null && at !== null ? { reason, message, at } : null,
    failingSince: row.failing_since,
    lastDeliveredAt: row.last_delivered_at,
    formerSecretEndsAt: row.former_secret_ends_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
