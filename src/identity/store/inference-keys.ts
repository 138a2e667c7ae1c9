/** Every statement on inference_key. */
import { type Selectable, sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { ApiKey, InferenceKey } from "../model.ts";
import { type InferenceKeyTable, tables } from "./tables.ts";

export async function insertInferenceKey(ctx: DbCtx, key: ApiKey, hash: Buffer): Promise<void> {
  await tables(ctx.db)
    .insertInto("inference_key")
    .values({
      id: key.id,
      user_id: key.userId,
      name: key.name,
      key_hash: hash,
      prefix: key.prefix,
      scopes: [...key.scopes],
      created_at: key.createdAt,
      expires_at: key.expiresAt,
      deleted_at: key.deletedAt,
      last_used_at: key.lastUsedAt,
      rotated_at: key.rotatedAt,
    })
    .execute();
}

/** A key that was not deleted, by the hash of its secret or of the one before it, which ends on its own. */
export async function selectKeyByHash(ctx: DbCtx, hash: Buffer): Promise<InferenceKey | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("inference_key")
    .innerJoin("users", "users.id", "inference_key.user_id")
    .select([
      "inference_key.id",
      "inference_key.user_id",
      "inference_key.scopes",
      "users.disabled_at",
      sql<Date | null>`case when key_hash = ${hash} then expires_at else least(expires_at, previous_ends_at) end`.as(
        "expires_at",
      ),
    ])
    .where((eb) => eb.or([eb("key_hash", "=", hash), eb("previous_hash", "=", hash)]))
    .where("deleted_at", "is", null)
    .executeTakeFirst();
  return (
    row && {
      keyId: row.id,
      userId: row.user_id,
      scopes: row.scopes,
      expiresAt: row.expires_at,
      disabled: row.disabled_at !== null,
    }
  );
}

/** Locks a key: of two changes at once one waits. */
export async function lockInferenceKey(tx: TxCtx, keyId: string): Promise<ApiKey | undefined> {
  const row = await tables(tx.db)
    .selectFrom("inference_key")
    .selectAll()
    .where("id", "=", keyId)
    .forUpdate()
    .executeTakeFirst();
  return row && apiKeyOf(row);
}

/** Keys of a user, newest first. */
export async function selectInferenceKeys(
  ctx: DbCtx,
  list: { userId: string; includeDeleted: boolean; limit: number },
): Promise<readonly ApiKey[]> {
  let query = tables(ctx.db).selectFrom("inference_key").selectAll().where("user_id", "=", list.userId);
  if (!list.includeDeleted) query = query.where("deleted_at", "is", null);
  const rows = await query.orderBy("created_at", "desc").orderBy("id", "desc").limit(list.limit).execute();
  return rows.map(apiKeyOf);
}

/** How many keys of a user hold. Locks the user's row, so that two makers at once count each other. */
export async function countKeysLocked(tx: TxCtx, userId: string): Promise<number> {
  await tables(tx.db).selectFrom("users").select("id").where("id", "=", userId).forUpdate().execute();
  const row = await tables(tx.db)
    .selectFrom("inference_key")
    .select((eb) => eb.fn.countAll<bigint>().as("count"))
    .where("user_id", "=", userId)
    .where("deleted_at", "is", null)
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

/** Deletes a key once; the row stays, with the time of the first deletion. */
export async function updateKeyDeleted(ctx: DbCtx, keyId: string, now: Date): Promise<void> {
  await tables(ctx.db)
    .updateTable("inference_key")
    .set({ deleted_at: sql`coalesce(deleted_at, ${now})` })
    .where("id", "=", keyId)
    .execute();
}

/** Gives a key a new secret; the present one opens until `previousEndsAt`, or no more where that is null. */
export async function updateKeySecret(
  tx: TxCtx,
  keyId: string,
  secret: { readonly hash: Buffer; readonly prefix: string },
  rotation: { readonly at: Date; readonly previousEndsAt: Date | null },
): Promise<ApiKey> {
  const { at, previousEndsAt } = rotation;
  const row = await tables(tx.db)
    .updateTable("inference_key")
    .set({
      key_hash: secret.hash,
      prefix: secret.prefix,
      rotated_at: at,
      previous_hash: previousEndsAt === null ? null : sql<Buffer>`key_hash`,
      previous_ends_at: previousEndsAt,
    })
    .where("id", "=", keyId)
    .returningAll()
    .executeTakeFirstOrThrow();
  return apiKeyOf(row);
}

/** Notes uses of keys, each unless one within `stepMs` before it was noted. Rows are locked in one order: no deadlock between batches. */
export async function updateKeysUsed(
  ctx: DbCtx,
  uses: readonly { keyId: string; at: Date }[],
  stepMs: number,
): Promise<void> {
  const ids = uses.map((use) => use.keyId);
  const times = uses.map((use) => use.at);
  await sql`
    with used as (
      select inference_key.id, used.at
      from unnest(${ids}::uuid[], ${times}::timestamptz[]) as used (id, at)
      join inference_key on inference_key.id = used.id
      where last_used_at is null or last_used_at <= used.at - make_interval(secs => ${stepMs / 1_000})
      order by inference_key.id
      for update of inference_key
    )
    update inference_key set last_used_at = used.at from used where inference_key.id = used.id`.execute(
    ctx.db,
  );
}

function apiKeyOf(row: Selectable<InferenceKeyTable>): ApiKey {
  return {
    id: row.id,
    userId: row.user_id,
    name: row.name,
    prefix: row.prefix,
    scopes: row.scopes,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    deletedAt: row.deleted_at,
    lastUsedAt: row.last_used_at,
    rotatedAt: row.rotated_at,
    previousSecretEndsAt: row.previous_ends_at,
  };
}
