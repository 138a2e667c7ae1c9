/** Every statement on password_login and password_invitation. */
import type { DbCtx } from "../../db/db.ts";
import { tables } from "./tables.ts";

export interface Invitation {
  readonly userId: string;
  readonly login: string;
  readonly codeHash: Buffer;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** Puts an invitation in the place of the user's last one. */
export async function upsertInvitation(ctx: DbCtx, invitation: Invitation): Promise<void> {
  const values = {
    login: invitation.login,
    code_hash: invitation.codeHash,
    created_at: invitation.createdAt,
    expires_at: invitation.expiresAt,
  };
  await tables(ctx.db)
    .insertInto("password_invitation")
    .values({ user_id: invitation.userId, ...values })
    .onConflict((conflict) => conflict.column("user_id").doUpdateSet(values))
    .execute();
}

/** Takes an invitation that still holds out of the table: nobody else can use it. */
export async function takeInvitation(
  ctx: DbCtx,
  codeHash: Buffer,
  now: Date,
): Promise<{ userId: string; login: string } | undefined> {
  const row = await tables(ctx.db)
    .deleteFrom("password_invitation")
    .where("code_hash", "=", codeHash)
    .where("expires_at", ">", now)
    .returning(["user_id", "login"])
    .executeTakeFirst();
  return row && { userId: row.user_id, login: row.login };
}

/** Who logs in under this name. */
export async function selectPasswordLogin(
  ctx: DbCtx,
  login: string,
): Promise<{ userId: string; passwordHash: string } | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("password_login")
    .select(["user_id", "password_hash"])
    .where("login", "=", login)
    .executeTakeFirst();
  return row && { userId: row.user_id, passwordHash: row.password_hash };
}

/** Sets a user's name and password. Fails on the unique key where the name is another's. */
export async function upsertPasswordLogin(
  ctx: DbCtx,
  input: { userId: string; login: string; passwordHash: string; now: Date },
): Promise<void> {
  const values = { login: input.login, password_hash: input.passwordHash, changed_at: input.now };
  await tables(ctx.db)
    .insertInto("password_login")
    .values({ user_id: input.userId, ...values })
    .onConflict((conflict) => conflict.column("user_id").doUpdateSet(values))
    .execute();
}
