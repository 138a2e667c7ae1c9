/** Statements on model_event. Events of one model are only written under its row's lock, so their ids grow in commit order. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import { EVENTS_KEPT, type Model, type ModelEvent, type NewEvent } from "../model.ts";
import { eventOf } from "./rows.ts";
import { tables } from "./tables.ts";

/** Returns them as they were written. */
export async function insertEvents(
  tx: TxCtx,
  model: Pick<Model, "id" | "status" | "condition">,
  events: readonly NewEvent[],
  now: Date,
): Promise<readonly ModelEvent[]> {
  if (events.length === 0) return [];
  const rows = await tables(tx.db)
    .insertInto("model_event")
    .values(
      events.map((event) => ({
        model_id: model.id,
        created_at: now,
        type: event.type,
        log: event.log,
        status: model.status,
        reason: model.condition.reason,
      })),
    )
    .returningAll()
    .execute();
  return rows.map(eventOf);
}

/** Forgets what is older than the newest that are kept. */
export async function pruneEvents(tx: TxCtx, modelId: string): Promise<void> {
  await sql`
    delete from model_event where model_id = ${modelId} and id <= (
      select id from model_event where model_id = ${modelId} order by id desc offset ${EVENTS_KEPT} limit 1
    )`.execute(tx.db);
}

/** The newest events of each of these models, newest first. */
export async function selectNewestEvents(
  ctx: DbCtx,
  modelIds: readonly string[],
  limit: number,
): Promise<ReadonlyMap<string, readonly ModelEvent[]>> {
  const found = new Map<string, ModelEvent[]>();
  if (modelIds.length === 0) return found;
  const rows = await tables(ctx.db)
    .selectFrom(sql<{ id: string }>`unnest(${modelIds}::uuid[])`.as<"wanted">(sql`wanted (id)`))
    .innerJoinLateral(
      (eb) =>
        eb
          .selectFrom("model_event")
          .selectAll("model_event")
          .whereRef("model_event.model_id", "=", "wanted.id")
          .orderBy("model_event.id", "desc")
          .limit(limit)
          .as("event"),
      (join) => join.onTrue(),
    )
    .selectAll("event")
    .execute();
  for (const row of rows) {
    const list = found.get(row.model_id) ?? [];
    list.push(eventOf(row));
    found.set(row.model_id, list);
  }
  for (const list of found.values()) list.sort((a, b) => (a.id < b.id ? 1 : -1));
  return found;
}

/** Events before `before` (all when undefined), newest first. */
export async function selectEventsBefore(
  ctx: DbCtx,
  input: { modelId: string; before: bigint | undefined; limit: number },
): Promise<readonly ModelEvent[]> {
  let query = tables(ctx.db).selectFrom("model_event").selectAll().where("model_id", "=", input.modelId);
  if (input.before !== undefined) query = query.where("id", "<", input.before);
  const rows = await query.orderBy("id", "desc").limit(input.limit).execute();
  return rows.map(eventOf);
}

/** Events after `after`, oldest first. */
export async function selectEventsAfter(
  ctx: DbCtx,
  input: { modelId: string; after: bigint; limit: number },
): Promise<readonly ModelEvent[]> {
  const rows = await tables(ctx.db)
    .selectFrom("model_event")
    .selectAll()
    .where("model_id", "=", input.modelId)
    .where("id", ">", input.after)
    .orderBy("id")
    .limit(input.limit)
    .execute();
  return rows.map(eventOf);
}
