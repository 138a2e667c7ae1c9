/** Every statement on login_attempt. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";
import { tables } from "./tables.ts";

/** Adds one to what this window counts, beginning a new window where the last is over. */
export async function countAttempt(
  ctx: DbCtx,
  hash: Buffer,
  { now, windowMs }: { readonly now: Date; readonly windowMs: number },
): Promise<{ readonly attempts: number; readonly since: Date }> {
  const over = new Date(now.getTime() - windowMs);
  const { rows } = await sql<{ attempts: number; since: Date }>`
    insert into login_attempt as known (who_hash, attempts, since) values (${hash}, 1, ${now})
    on conflict (who_hash) do update set
      attempts = case when known.since <= ${over} then 1 else known.attempts + 1 end,
      since = case when known.since <= ${over} then ${now} else known.since end
    returning attempts, since`.execute(ctx.db);
  return rows[0] ?? { attempts: 1, since: now };
}

export async function forgiveAttempt(ctx: DbCtx, hash: Buffer): Promise<void> {
  await tables(ctx.db)
    .updateTable("login_attempt")
    .set({ attempts: sql`greatest(attempts - 1, 0)` })
    .where("who_hash", "=", hash)
    .execute();
}

export async function deleteAttempts(ctx: DbCtx, hash: Buffer): Promise<void> {
  await tables(ctx.db).deleteFrom("login_attempt").where("who_hash", "=", hash).execute();
}

/** Forgets what was counted in windows that began before `before`. */
export async function deleteAttemptsBefore(ctx: DbCtx, before: Date): Promise<void> {
  await tables(ctx.db).deleteFrom("login_attempt").where("since", "<", before).execute();
}
