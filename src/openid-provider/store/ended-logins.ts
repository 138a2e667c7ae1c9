/** Statements on rows of oidc_artifact that say that a login has ended: `EndedLogin`, by the hash of its grant, without a payload. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";

const KIND = "EndedLogin";

export async function insertEndedLogin(ctx: DbCtx, grantHash: Buffer, until: Date): Promise<void> {
  await sql`
    insert into oidc_artifact (kind, id_hash, payload, expires_at) values (${KIND}, ${grantHash}, ''::bytea, ${until})
    on conflict (kind, id_hash) do update set expires_at = excluded.expires_at`.execute(ctx.db);
}

/** Every login of a user under which something is still kept. */
export async function insertEndedLoginsOfAccount(ctx: DbCtx, accountId: string, until: Date): Promise<void> {
  await sql`
    insert into oidc_artifact (kind, id_hash, payload, expires_at)
    select distinct ${KIND}, grant_hash, ''::bytea, ${until}::timestamptz from oidc_artifact
    where account_id = ${accountId} and grant_hash is not null
    on conflict (kind, id_hash) do update set expires_at = excluded.expires_at`.execute(ctx.db);
}

/** The ids of logins, as their access tokens carry them. */
export async function selectEndedLogins(ctx: DbCtx, now: Date): Promise<readonly string[]> {
  const { rows } = await sql<{ id_hash: Buffer }>`
    select id_hash from oidc_artifact where kind = ${KIND} and expires_at > ${now}`.execute(ctx.db);
  return rows.map((row) => row.id_hash.toString("base64url"));
}
