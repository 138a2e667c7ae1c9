/** Every statement on oidc_signing_key. */
import type { DbCtx } from "../../db/db.ts";
import { tables } from "./tables.ts";

export interface SealedKey {
  readonly keyId: string;
  readonly privateKey: Buffer;
  readonly createdAt: Date;
}

/** Keys, newest first. */
export async function selectSigningKeys(ctx: DbCtx, limit: number): Promise<readonly SealedKey[]> {
  const rows = await tables(ctx.db)
    .selectFrom("oidc_signing_key")
    .selectAll()
    .orderBy("created_at", "desc")
    .orderBy("key_id")
    .limit(limit)
    .execute();
  return rows.map((row) => ({ keyId: row.key_id, privateKey: row.private_key, createdAt: row.created_at }));
}

export async function insertSigningKey(ctx: DbCtx, key: SealedKey): Promise<void> {
  await tables(ctx.db)
    .insertInto("oidc_signing_key")
    .values({ key_id: key.keyId, private_key: key.privateKey, created_at: key.createdAt })
    .execute();
}
