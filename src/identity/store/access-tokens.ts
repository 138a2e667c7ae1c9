/** Every statement on access_token. */
import { type Selectable, sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";
import type { AccessToken, Role } from "../model.ts";
import { type AccessTokenTable, tables } from "./tables.ts";

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
