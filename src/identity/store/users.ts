/** Every statement on users. */
import { type Selectable, sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { Role, User } from "../model.ts";
import { tables, type UsersTable } from "./tables.ts";

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
      tos_accepted_at: user.tosAcceptedAt,
      tos_accepted_version: user.tosAcceptedVersion,
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

/** Those of the ids that are somebody's. */
export async function selectKnown(ctx: DbCtx, userIds: readonly string[]): Promise<readonly string[]> {
  const rows = await tables(ctx.db)
    .selectFrom("users")
    .select("id")
    .where("id", "in", [...userIds])
    .execute();
  return rows.map((row) => row.id);
}

export async function selectDisabled(ctx: DbCtx, userIds: readonly string[]): Promise<readonly string[]> {
  const rows = await tables(ctx.db)
    .selectFrom("users")
    .select("id")
    .where("id", "in", [...userIds])
    .where("disabled_at", "is not", null)
    .execute();
  return rows.map((row) => row.id);
}

/** What changes of a user; what is left out stays. */
export interface UserChange {
  readonly role?: Role | undefined;
  readonly platform?: boolean | undefined;
  readonly disabledAt?: Date | null | undefined;
  readonly firstName?: string | undefined;
  readonly lastName?: string | undefined;
  readonly displayName?: string | undefined;
  readonly company?: string | undefined;
  readonly tosAcceptedAt?: Date | undefined;
  readonly tosAcceptedVersion?: string | undefined;
}

/** The changed user; undefined where there is none. */
export async function updateUser(ctx: DbCtx, userId: string, change: UserChange): Promise<User | undefined> {
  const row = await tables(ctx.db)
    .updateTable("users")
    .set(columnsOf(change))
    .where("id", "=", userId)
    .returningAll()
    .executeTakeFirst();
  return row && userOf(row);
}

/** Kysely leaves undefined columns out; naming the id makes a change of nothing a statement too. */
function columnsOf(change: UserChange) {
  return {
    id: sql<string>`id`,
    role: change.role,
    platform: change.platform,
    disabled_at: change.disabledAt,
    first_name: change.firstName,
    last_name: change.lastName,
    display_name: change.displayName,
    company: change.company,
    tos_accepted_at: change.tosAcceptedAt,
    tos_accepted_version: change.tosAcceptedVersion,
  };
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
    tosAcceptedAt: row.tos_accepted_at,
    tosAcceptedVersion: row.tos_accepted_version,
  };
}
