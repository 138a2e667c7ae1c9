/** Every statement on catalog_entry. */
import { type Selectable, sql } from "kysely";
import type { Db, DbCtx } from "../db/db.ts";
import type { CatalogEntry } from "./model.ts";

interface CatalogEntryTable {
  served_name: string;
  model_id: string;
  concurrency_max: number;
  output_tokens_max: number;
  owner_agreed: boolean;
  published_by: string;
  published_at: Date;
}

type Tables = { catalog_entry: CatalogEntryTable };
const tables = (db: Db) => db.withTables<Tables>();

/**
 * Adds an entry, or changes the limits of the same name and model, which keeps its time. Undefined when the name is another
 * model's. `isNew` tells which it was.
 */
export async function upsertEntry(
  ctx: DbCtx,
  entry: CatalogEntry,
): Promise<{ entry: CatalogEntry; isNew: boolean } | undefined> {
  const row = await tables(ctx.db)
    .insertInto("catalog_entry")
    .values({
      served_name: entry.servedName,
      model_id: entry.modelId,
      concurrency_max: entry.limits.concurrencyMax,
      output_tokens_max: entry.limits.outputTokensMax,
      owner_agreed: entry.ownerAgreed,
      published_by: entry.publishedBy,
      published_at: entry.publishedAt,
    })
    .onConflict((conflict) =>
      conflict
        .column("served_name")
        .doUpdateSet((eb) => ({
          concurrency_max: eb.ref("excluded.concurrency_max"),
          output_tokens_max: eb.ref("excluded.output_tokens_max"),
          owner_agreed: eb.ref("excluded.owner_agreed"),
        }))
        .whereRef("catalog_entry.model_id", "=", "excluded.model_id"),
    )
    .returningAll()
    // A row that this statement inserted has no deleting transaction; one that it updated has ours.
    .returning(sql<boolean>`xmax = 0`.as("is_new"))
    .executeTakeFirst();
  return row && { entry: entryOf(row), isNew: row.is_new };
}

/** Takes an entry out; undefined when there is none of that name. */
export async function deleteEntry(ctx: DbCtx, servedName: string): Promise<CatalogEntry | undefined> {
  const row = await tables(ctx.db)
    .deleteFrom("catalog_entry")
    .where("served_name", "=", servedName)
    .returningAll()
    .executeTakeFirst();
  return row && entryOf(row);
}

export async function selectEntries(
  ctx: DbCtx,
  servedNames: readonly string[],
): Promise<readonly CatalogEntry[]> {
  if (servedNames.length === 0) return [];
  const rows = await tables(ctx.db)
    .selectFrom("catalog_entry")
    .selectAll()
    .where("served_name", "=", sql<string>`any(${servedNames}::text[])`)
    .orderBy("served_name")
    .execute();
  return rows.map(entryOf);
}

/** Entries after a name, by name. */
export async function selectPage(
  ctx: DbCtx,
  page: { readonly after: string; readonly limit: number },
): Promise<readonly CatalogEntry[]> {
  const rows = await tables(ctx.db)
    .selectFrom("catalog_entry")
    .selectAll()
    .where("served_name", ">", page.after)
    .orderBy("served_name")
    .limit(page.limit)
    .execute();
  return rows.map(entryOf);
}

function entryOf(row: Selectable<CatalogEntryTable>): CatalogEntry {
  return {
    servedName: row.served_name,
    modelId: row.model_id,
    limits: { concurrencyMax: row.concurrency_max, outputTokensMax: row.output_tokens_max },
    ownerAgreed: row.owner_agreed,
    publishedBy: row.published_by,
    publishedAt: row.published_at,
  };
}
