/** Every statement on users, access_token and inference_key. */
import { type Selectable, sql } from "kysely";
import type { Db, DbCtx, TxCtx } from "../db/db.ts";
import type { AccessToken, ApiKey, InferenceKey, Role, User } from "./model.ts";

interface UsersTable {
  id: string;
  issuer: string;
  subject: string;
  role: Role;
  platform: boolean;
  first_name: string;
  last_name: string;
  display_name: string;
  email: string;
  company: string;
  created_at: Date;
  disabled_at: Date | null;
}

interface AccessTokenTable {
  id: string;
  user_id: string;
  name: string;
  token_hash: Buffer;
  prefix: string;
  scopes: readonly string[];
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
  last_used_at: Date | null;
}

interface InferenceKeyTable {
  id: string;
  user_id: string;
  name: string;
  key_hash: Buffer;
  prefix: string;
  scopes: readonly string[];
  created_at: Date;
  expires_at: Date | null;
  deleted_at: Date | null;
  last_used_at: Date | null;
}

type Tables = {
  users: UsersTable;
  access_token: AccessTokenTable;
  inference_key: InferenceKeyTable;
};

const tables = (db: Db) => db.withTables<Tables>();

/** Adds a user unless (issuer, subject) is taken; undefined when it was. */
export async function insertUser(ctx: DbCtx, user: User): Promise<User | undefined> {
  const row = await tables(ctx.db)
    .insertInto("users")
    .values({
      id: user.id,
      issuer: user.issuer,
      subject: user.subject,
      role: user.role,
      platform: user.platform,
      first_name: user.firstName,
      last_name: user.lastName,
      display_name: user.displayName,
      email: user.email,
      company: user.company,
      created_at: user.createdAt,
      disabled_at: user.disabledAt,
    })
    .onConflict((conflict) => conflict.columns(["issuer", "subject"]).doNothing())
    .returningAll()
    .executeTakeFirst();
  return row && userOf(row);
}

export async function selectUser(ctx: DbCtx, userId: string): Promise<User | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("users")
    .selectAll()
    .where("id", "=", userId)
    .executeTakeFirst();
  return row && userOf(row);
}

export async function selectUserBySubject(
  ctx: DbCtx,
  issuer: string,
  subject: string,
): Promise<User | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("users")
    .selectAll()
    .where("issuer", "=", issuer)
    .where("subject", "=", subject)
    .executeTakeFirst();
  return row && userOf(row);
}

/** Users with this address, in any case of letters, oldest first. */
export async function selectUsersByEmail(ctx: DbCtx, email: string, limit: number): Promise<readonly User[]> {
  const rows = await tables(ctx.db)
    .selectFrom("users")
    .selectAll()
    .where(sql`lower(email)`, "=", email.toLowerCase())
    .where("email", "<>", "")
    .orderBy("created_at")
    .orderBy("id")
    .limit(limit)
    .execute();
  return rows.map(userOf);
}

export async function selectPlatformUser(ctx: DbCtx): Promise<User | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("users")
    .selectAll()
    .where("platform", "=", true)
    .executeTakeFirst();
  return row && userOf(row);
}

/** One page of users, oldest first, and how many there are. */
export async function selectUsers(
  ctx: DbCtx,
  page: { offset: number; limit: number },
): Promise<{ users: readonly User[]; total: number }> {
  const rows = await tables(ctx.db)
    .selectFrom("users")
    .selectAll()
    .orderBy("created_at")
    .orderBy("id")
    .offset(page.offset)
    .limit(page.limit)
    .execute();
  const count = await tables(ctx.db)
    .selectFrom("users")
    .select((eb) => eb.fn.countAll<bigint>().as("total"))
    .executeTakeFirstOrThrow();
  return { users: rows.map(userOf), total: Number(count.total) };
}

/** Locks every enabled SUPER_ADMIN, in one order, so that two who demote each other take turns. Returns their ids. */
export async function lockSuperAdmins(tx: TxCtx): Promise<readonly string[]> {
  const rows = await tables(tx.db)
    .selectFrom("users")
    .select("id")
    .where("role", "=", "SUPER_ADMIN")
    .where("disabled_at", "is", null)
    .orderBy("id")
    .forUpdate()
    .execute();
  return rows.map((row) => row.id);
}

export async function updateUser(
  ctx: DbCtx,
  userId: string,
  change: { role?: Role; platform?: boolean; disabledAt?: Date | null },
): Promise<User | undefined> {
  const row = await tables(ctx.db)
    .updateTable("users")
    .set({
      ...(change.role === undefined ? {} : { role: change.role }),
      ...(change.platform === undefined ? {} : { platform: change.platform }),
      ...(change.disabledAt === undefined ? {} : { disabled_at: change.disabledAt }),
    })
    .where("id", "=", userId)
    .returningAll()
    .executeTakeFirst();
  return row && userOf(row);
}

export async function insertAccessToken(ctx: DbCtx, token: AccessToken, hash: Buffer): Promise<void> {
  await tables(ctx.db)
    .insertInto("access_token")
    .values({
      id: token.id,
      user_id: token.userId,
      name: token.name,
      token_hash: hash,
      prefix: token.prefix,
      scopes: [...token.scopes],
      created_at: token.createdAt,
      expires_at: token.expiresAt,
      revoked_at: token.revokedAt,
      last_used_at: token.lastUsedAt,
    })
    .execute();
}

/** The token with this hash and its user. */
export async function selectTokenByHash(
  ctx: DbCtx,
  hash: Buffer,
): Promise<{ token: AccessToken; role: Role; disabled: boolean } | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("access_token")
    .innerJoin("users", "users.id", "access_token.user_id")
    .selectAll("access_token")
    .select(["users.role", "users.disabled_at"])
    .where("token_hash", "=", hash)
    .executeTakeFirst();
  return row && { token: accessTokenOf(row), role: row.role, disabled: row.disabled_at !== null };
}

export async function selectAccessToken(ctx: DbCtx, tokenId: string): Promise<AccessToken | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("access_token")
    .selectAll()
    .where("id", "=", tokenId)
    .executeTakeFirst();
  return row && accessTokenOf(row);
}

export interface TokenList {
  /** Undefined for every user. */
  readonly userId: string | undefined;
  readonly includeRevoked: boolean;
  readonly after: { readonly createdAt: Date; readonly id: string } | undefined;
  readonly limit: number;
}

/** Tokens, newest first. */
export async function selectAccessTokens(ctx: DbCtx, list: TokenList): Promise<readonly AccessToken[]> {
  let query = tables(ctx.db).selectFrom("access_token").selectAll();
  if (list.userId !== undefined) query = query.where("user_id", "=", list.userId);
  if (!list.includeRevoked) query = query.where("revoked_at", "is", null);
  if (list.after !== undefined) {
    const { createdAt, id } = list.after;
    query = query.where(sql<boolean>`(created_at, id) < (${createdAt}, ${id}::uuid)`);
  }
  const rows = await query.orderBy("created_at", "desc").orderBy("id", "desc").limit(list.limit).execute();
  return rows.map(accessTokenOf);
}

/** Revokes a token once; the time of the first revocation stays. False when there is no such token. */
export async function updateTokenRevoked(ctx: DbCtx, tokenId: string, now: Date): Promise<boolean> {
  const done = await tables(ctx.db)
    .updateTable("access_token")
    .set({ revoked_at: sql`coalesce(revoked_at, ${now})` })
    .where("id", "=", tokenId)
    .executeTakeFirst();
  return done.numUpdatedRows > 0n;
}

/** Notes a use, unless one was noted after `unlessAfter`. */
export async function updateTokenUsed(
  ctx: DbCtx,
  tokenId: string,
  now: Date,
  unlessAfter: Date,
): Promise<void> {
  await tables(ctx.db)
    .updateTable("access_token")
    .set({ last_used_at: now })
    .where("id", "=", tokenId)
    .where((eb) => eb.or([eb("last_used_at", "is", null), eb("last_used_at", "<=", unlessAfter)]))
    .execute();
}

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
    })
    .execute();
}

/** A key that was not deleted, by its hash. */
export async function selectKeyByHash(ctx: DbCtx, hash: Buffer): Promise<InferenceKey | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("inference_key")
    .innerJoin("users", "users.id", "inference_key.user_id")
    .select([
      "inference_key.id",
      "inference_key.user_id",
      "inference_key.scopes",
      "inference_key.expires_at",
      "users.disabled_at",
    ])
    .where("key_hash", "=", hash)
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

export async function selectInferenceKey(ctx: DbCtx, keyId: string): Promise<ApiKey | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("inference_key")
    .selectAll()
    .where("id", "=", keyId)
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

function userOf(row: Selectable<UsersTable>): User {
  return {
    id: row.id,
    issuer: row.issuer,
    subject: row.subject,
    role: row.role,
    platform: row.platform,
    firstName: row.first_name,
    lastName: row.last_name,
    displayName: row.display_name,
    email: row.email,
    company: row.company,
    createdAt: row.created_at,
    disabledAt: row.disabled_at,
  };
}

function accessTokenOf(row: Selectable<AccessTokenTable>): AccessToken {
  return {
    id: row.id,
    userId: row.user_id,
    name: row.name,
    prefix: row.prefix,
    scopes: row.scopes,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    lastUsedAt: row.last_used_at,
  };
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
  };
}
