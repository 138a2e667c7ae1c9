/** Every statement on storage_bucket, storage_detached and storage_use. */
import { type Selectable, sql } from "kysely";
import type { Db, DbCtx, TxCtx } from "../db/db.ts";
import type { StoredPart } from "../providers/driver.ts";
import type { Bucket, Tier, Use } from "./model.ts";

interface BucketTable {
  id: string;
  user_id: string;
  tier: Tier;
  retention_days: number;
  full_since: Date | null;
  created_at: Date;
  updated_at: Date;
  deleted_at: Date | null;
}

interface DetachedTable {
  bucket_id: string;
  model_id: string;
  detached_at: Date;
}

interface UseTable {
  driver: string;
  bucket_id: string;
  model_id: string;
  bytes: bigint;
  states: bigint;
  last_used_at: Date | null;
  observed_at: Date;
}

type Tables = {
  storage_bucket: BucketTable;
  storage_detached: DetachedTable;
  storage_use: UseTable;
};
const tables = (db: Db) => db.withTables<Tables>();

/** False when the user has one already. */
export async function insertBucket(tx: TxCtx, bucket: Bucket): Promise<boolean> {
  const row = await tables(tx.db)
    .insertInto("storage_bucket")
    .values({
      id: bucket.id,
      user_id: bucket.userId,
      tier: bucket.tier,
      retention_days: bucket.retentionDays,
      full_since: null,
      created_at: bucket.createdAt,
      updated_at: bucket.updatedAt,
      deleted_at: null,
    })
    .onConflict((conflict) => conflict.column("user_id").where("deleted_at", "is", null).doNothing())
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

function bucketOfUser(db: Db, userId: string) {
  return tables(db)
    .selectFrom("storage_bucket")
    .selectAll()
    .where("user_id", "=", userId)
    .where("deleted_at", "is", null);
}

export async function selectBucket(ctx: DbCtx, userId: string): Promise<Bucket | undefined> {
  const row = await bucketOfUser(ctx.db, userId).executeTakeFirst();
  return row && bucketOf(row);
}

/** As selectBucket, locked. */
export async function lockBucket(tx: TxCtx, userId: string): Promise<Bucket | undefined> {
  const row = await bucketOfUser(tx.db, userId).forUpdate().executeTakeFirst();
  return row && bucketOf(row);
}

/** Buckets that are not deleted, of these ids. */
export async function selectBuckets(ctx: DbCtx, ids: readonly string[]): Promise<readonly Bucket[]> {
  if (ids.length === 0) return [];
  const rows = await tables(ctx.db)
    .selectFrom("storage_bucket")
    .selectAll()
    .where("id", "=", sql<string>`any(${ids}::uuid[])`)
    .where("deleted_at", "is", null)
    .execute();
  return rows.map(bucketOf);
}

export async function updateBucketRow(
  tx: TxCtx,
  id: string,
  change: { readonly tier: Tier; readonly retentionDays: number; readonly at: Date },
): Promise<Bucket> {
  const row = await tables(tx.db)
    .updateTable("storage_bucket")
    .set({ tier: change.tier, retention_days: change.retentionDays, updated_at: change.at })
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirstOrThrow();
  return bucketOf(row);
}

/** False when the user has none. */
export async function markDeleted(ctx: DbCtx, userId: string, at: Date): Promise<boolean> {
  const row = await tables(ctx.db)
    .updateTable("storage_bucket")
    .set({ deleted_at: at, updated_at: at })
    .where("user_id", "=", userId)
    .where("deleted_at", "is", null)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Forgets buckets that were deleted before, but for those that some place still has. */
export async function forgetDeleted(ctx: DbCtx, before: Date): Promise<void> {
  await tables(ctx.db)
    .deleteFrom("storage_bucket")
    .where("deleted_at", "<", before)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom("storage_use")
            .select("storage_use.bucket_id")
            .whereRef("storage_use.bucket_id", "=", "storage_bucket.id"),
        ),
      ),
    )
    .execute();
}

/** Writes down whether prompts go for want of room; false when it was so already. */
export async function markFull(tx: TxCtx, id: string, since: Date | null): Promise<boolean> {
  const row = await tables(tx.db)
    .updateTable("storage_bucket")
    .set({ full_since: since })
    .where("id", "=", id)
    .where("full_since", since === null ? "is not" : "is", null)
    .returning("id")
    .executeTakeFirst();
  return row !== undefined;
}

/** False when it was so already. */
export async function insertDetached(tx: TxCtx, bucketId: string, modelId: string): Promise<boolean> {
  const row = await tables(tx.db)
    .insertInto("storage_detached")
    .values({ bucket_id: bucketId, model_id: modelId, detached_at: tx.clock.now() })
    .onConflict((conflict) => conflict.doNothing())
    .returning("model_id")
    .executeTakeFirst();
  return row !== undefined;
}

/** False when it was not detached. */
export async function deleteDetached(tx: TxCtx, bucketId: string, modelId: string): Promise<boolean> {
  const row = await tables(tx.db)
    .deleteFrom("storage_detached")
    .where("bucket_id", "=", bucketId)
    .where("model_id", "=", modelId)
    .returning("model_id")
    .executeTakeFirst();
  return row !== undefined;
}

/** Which of these models are detached from their owners' buckets. */
export async function selectDetached(
  ctx: DbCtx,
  modelIds: readonly string[],
): Promise<readonly { readonly bucketId: string; readonly modelId: string }[]> {
  if (modelIds.length === 0) return [];
  const rows = await tables(ctx.db)
    .selectFrom("storage_detached")
    .select(["bucket_id", "model_id"])
    .where("model_id", "=", sql<string>`any(${modelIds}::uuid[])`)
    .execute();
  return rows.map((row) => ({ bucketId: row.bucket_id, modelId: row.model_id }));
}

/** Of the whole bucket. */
export async function selectUse(ctx: DbCtx, bucketId: string): Promise<Use> {
  const row = await tables(ctx.db)
    .selectFrom("storage_use")
    .select((eb) => [
      sql<bigint>`coalesce(sum(bytes), 0)::bigint`.as("bytes"),
      sql<bigint>`coalesce(sum(states), 0)::bigint`.as("states"),
      eb.fn.max("last_used_at").as("last_used_at"),
      eb.fn.max("observed_at").as("observed_at"),
    ])
    .where("bucket_id", "=", bucketId)
    .executeTakeFirstOrThrow();
  return useOf(row);
}

/** Of each of these models. */
export async function selectUses(
  ctx: DbCtx,
  bucketId: string,
  modelIds: readonly string[],
): Promise<ReadonlyMap<string, Use>> {
  if (modelIds.length === 0) return new Map();
  const rows = await tables(ctx.db)
    .selectFrom("storage_use")
    .select((eb) => [
      "model_id",
      sql<bigint>`sum(bytes)::bigint`.as("bytes"),
      sql<bigint>`sum(states)::bigint`.as("states"),
      eb.fn.max("last_used_at").as("last_used_at"),
      eb.fn.max("observed_at").as("observed_at"),
    ])
    .where("bucket_id", "=", bucketId)
    .where("model_id", "=", sql<string>`any(${modelIds}::uuid[])`)
    .groupBy("model_id")
    .execute();
  return new Map(rows.map((row) => [row.model_id, useOf(row)]));
}

/** What a place holds now, in place of what it held before. Parts of buckets that nobody knows are left out. */
export async function replaceUse(tx: TxCtx, driver: string, parts: readonly StoredPart[]): Promise<void> {
  await tables(tx.db).deleteFrom("storage_use").where("driver", "=", driver).execute();
  await sql`
    insert into storage_use (driver, bucket_id, model_id, bytes, states, last_used_at, observed_at)
    select ${driver}, seen.bucket_id, seen.model_id, seen.bytes, seen.states, seen.last_used_at, ${tx.clock.now()}
    from unnest(
      ${parts.map((part) => part.bucketId)}::uuid[],
      ${parts.map((part) => part.modelId)}::uuid[],
      ${parts.map((part) => part.bytes)}::bigint[],
      ${parts.map((part) => part.states)}::bigint[],
      ${parts.map((part) => part.lastUsedAt)}::timestamptz[]
    ) as seen (bucket_id, model_id, bytes, states, last_used_at)
    join storage_bucket on storage_bucket.id = seen.bucket_id`.execute(tx.db);
}

function bucketOf(row: Selectable<BucketTable>): Bucket {
  return {
    id: row.id,
    userId: row.user_id,
    tier: row.tier,
    retentionDays: row.retention_days,
    fullSince: row.full_since,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function useOf(row: {
  readonly bytes: bigint;
  readonly states: bigint;
  readonly last_used_at: Date | null;
  readonly observed_at: Date | null;
}): Use {
  return {
    bytes: Number(row.bytes),
    states: Number(row.states),
    lastUsedAt: row.last_used_at,
    observedAt: row.observed_at,
  };
}
