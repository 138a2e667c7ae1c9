/** Every statement on audit_event. */
import { type Selectable, sql } from "kysely";
import type { Db } from "../db/db.ts";
import type { AuditEvent, Outcome } from "./model.ts";

interface AuditEventTable {
  id: string;
  at: Date;
  actor_id: string | null;
  token_id: string;
  action: string;
  subject_id: string | null;
  resource: string;
  outcome: Outcome;
  reason: string;
  request_id: string;
  address: string;
  times: number;
  details: Readonly<Record<string, string>>;
}

type Tables = { audit_event: AuditEventTable };

const tables = (db: Db) => db.withTables<Tables>();

/** Adds events, their texts cut to what the table takes; those that are there already (a repeat after an unclear failure) stay as they are. */
export async function insertEvents(db: Db, events: readonly AuditEvent[]): Promise<void> {
  if (events.length === 0) return;
  await tables(db)
    .insertInto("audit_event")
    .values(
      events.map((event) => ({
        id: event.id,
        at: event.at,
        actor_id: event.actorId,
        token_id: event.tokenId.slice(0, 200),
        action: event.action,
        subject_id: event.subjectId,
        resource: event.resource.slice(0, 300),
        outcome: event.outcome,
        reason: event.reason,
        request_id: event.requestId.slice(0, 200),
        address: event.address.slice(0, 100),
        times: event.times,
        details: event.details,
      })),
    )
    .onConflict((conflict) => conflict.column("id").doNothing())
    .execute();
}

/** Where a page goes on: after this event, towards older ones. */
export interface After {
  readonly at: Date;
  readonly id: string;
}

export interface EventFilter {
  readonly subjectId: string | undefined;
  readonly actorId: string | undefined;
  /** A whole action, or what it begins with up to its dot: `key.created`, `key`. */
  readonly action: string | undefined;
  readonly from: Date | undefined;
  /** Events before it. */
  readonly to: Date | undefined;
}

/** Events, newest first. */
export async function selectEvents(
  db: Db,
  { subjectId, actorId, action, from, to }: EventFilter,
  page: { readonly after: After | undefined; readonly limit: number },
): Promise<readonly AuditEvent[]> {
  let query = tables(db).selectFrom("audit_event").selectAll();
  if (subjectId !== undefined) query = query.where("subject_id", "=", subjectId);
  if (actorId !== undefined) query = query.where("actor_id", "=", actorId);
  if (action?.includes(".")) query = query.where("action", "=", action);
  else if (action !== undefined) query = query.where(sql<boolean>`starts_with(action, ${`${action}.`})`);
  if (from !== undefined) query = query.where("at", ">=", from);
  if (to !== undefined) query = query.where("at", "<", to);
  if (page.after !== undefined) {
    query = query.where(sql<boolean>`(at, id) < (${page.after.at}, ${page.after.id}::uuid)`);
  }
  const rows = await query.orderBy("at", "desc").orderBy("id", "desc").limit(page.limit).execute();
  return rows.map(eventOf);
}

/**
 * What a user did and what was done to it, newest first. Calls of others that were refused are left out. Each half is read in its own
 * index's order, so that a page costs a page however long the history is.
 */
export async function selectActivities(
  db: Db,
  userId: string,
  page: { readonly after: After | undefined; readonly limit: number },
): Promise<readonly AuditEvent[]> {
  const { after, limit } = page;
  const older = after === undefined ? sql`true` : sql`(at, id) < (${after.at}, ${after.id}::uuid)`;
  const { rows } = await sql<AuditEventTable>`
    select * from (
      (select * from audit_event where actor_id = ${userId} and ${older} order by at desc, id desc limit ${limit})
      union all
      (select * from audit_event where subject_id = ${userId} and actor_id is distinct from ${userId} and action <> 'call.refused' and ${older}
        order by at desc, id desc limit ${limit})
    ) both_halves order by at desc, id desc limit ${limit}`.execute(db);
  return rows.map(eventOf);
}

/** Deletes at most `limit` events before a time and says how many. The database refuses where it is less than 30 days ago. */
export async function purgeEvents(db: Db, before: Date, limit: number): Promise<number> {
  const { rows } = await sql<{ gone: bigint }>`select audit_purge(${before}, ${limit}) as gone`.execute(db);
  return Number(rows[0]?.gone ?? 0n);
}

function eventOf(row: Selectable<AuditEventTable>): AuditEvent {
  return {
    id: row.id,
    at: row.at,
    actorId: row.actor_id,
    tokenId: row.token_id,
    action: row.action,
    subjectId: row.subject_id,
    resource: row.resource,
    outcome: row.outcome,
    reason: row.reason,
    requestId: row.request_id,
    address: row.address,
    times: row.times,
    details: row.details,
  };
}
