/** Every statement on oidc_artifact. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";
import { tables } from "./tables.ts";

export interface Artifact {
  readonly kind: string;
  readonly idHash: Buffer;
  readonly grantHash: Buffer | null;
  readonly uidHash: Buffer | null;
  readonly userCodeHash: Buffer | null;
  readonly accountId: string | null;
  /** Sealed. */
  readonly payload: Buffer;
  readonly expiresAt: Date | null;
}

export interface FoundArtifact {
  readonly idHash: Buffer;
  readonly payload: Buffer;
  readonly consumedAt: Date | null;
}

/** By which of its hashes an artifact is looked for. */
export type ArtifactIndex = "id_hash" | "uid_hash" | "user_code_hash";

/** Writes an artifact, or what it has become. That it was consumed stays. */
export async function upsertArtifact(ctx: DbCtx, artifact: Artifact): Promise<void> {
  const values = {
    grant_hash: artifact.grantHash,
    uid_hash: artifact.uidHash,
    user_code_hash: artifact.userCodeHash,
    account_id: artifact.accountId,
    payload: artifact.payload,
    expires_at: artifact.expiresAt,
  };
  await tables(ctx.db)
    .insertInto("oidc_artifact")
    .values({ kind: artifact.kind, id_hash: artifact.idHash, consumed_at: null, ...values })
    .onConflict((conflict) => conflict.columns(["kind", "id_hash"]).doUpdateSet(values))
    .execute();
}

/** What is still good at `now`. */
export async function selectArtifact(
  ctx: DbCtx,
  kind: string,
  by: { readonly index: ArtifactIndex; readonly hash: Buffer; readonly now: Date },
): Promise<FoundArtifact | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("oidc_artifact")
    .select(["id_hash", "payload", "consumed_at"])
    .where("kind", "=", kind)
    .where(by.index, "=", by.hash)
    .where((eb) => eb.or([eb("expires_at", "is", null), eb("expires_at", ">", by.now)]))
    .executeTakeFirst();
  return row && { idHash: row.id_hash, payload: row.payload, consumedAt: row.consumed_at };
}

/** Marks an artifact as used; false when somebody else was first, or it is gone. */
export async function consumeArtifact(ctx: DbCtx, kind: string, idHash: Buffer, now: Date): Promise<boolean> {
  const done = await tables(ctx.db)
    .updateTable("oidc_artifact")
    .set({ consumed_at: now })
    .where("kind", "=", kind)
    .where("id_hash", "=", idHash)
    .where("consumed_at", "is", null)
    .executeTakeFirst();
  return done.numUpdatedRows > 0n;
}

export async function deleteArtifact(ctx: DbCtx, kind: string, idHash: Buffer): Promise<void> {
  await tables(ctx.db)
    .deleteFrom("oidc_artifact")
    .where("kind", "=", kind)
    .where("id_hash", "=", idHash)
    .execute();
}

export async function deleteArtifactsOfGrant(ctx: DbCtx, kind: string, grantHash: Buffer): Promise<void> {
  await tables(ctx.db)
    .deleteFrom("oidc_artifact")
    .where("kind", "=", kind)
    .where("grant_hash", "=", grantHash)
    .execute();
}

export async function deleteArtifactsOfAccount(ctx: DbCtx, accountId: string): Promise<void> {
  await tables(ctx.db).deleteFrom("oidc_artifact").where("account_id", "=", accountId).execute();
}

/** Removes at most `limit` that ended before `now`; returns how many. */
export async function deleteExpiredArtifacts(ctx: DbCtx, now: Date, limit: number): Promise<number> {
  const done = await sql`
    delete from oidc_artifact where (kind, id_hash) in (
      select kind, id_hash from oidc_artifact where expires_at <= ${now} limit ${limit} for update skip locked
    )`.execute(ctx.db);
  return Number(done.numAffectedRows ?? 0n);
}
