import { type DbCtx, withTransaction } from "../db/db.ts";
import { changeRole } from "./change-role.ts";
import { type NewUser, newUser, recordUserCreated } from "./create-user.ts";
import { getUser } from "./find-user.ts";
import type { User } from "./model.ts";
import { insertUser, selectUserBySubject } from "./store/users.ts";

export interface SignIn extends Omit<NewUser, "role" | "identity"> {
  readonly identity: { readonly issuer: string; readonly subject: string };
  /** The operator listed this subject: it is SUPER_ADMIN, whatever it was. */
  readonly superAdmin: boolean;
}

/** The user of an issuer's subject, made at first sight. What else is said of it is noted then, and not again. */
export async function signIn(ctx: DbCtx, input: SignIn): Promise<User> {
  const { issuer, subject } = input.identity;
  const known = (await selectUserBySubject(ctx, issuer, subject)) ?? (await firstSight(ctx, input));
  if (!input.superAdmin || known.role === "SUPER_ADMIN") return known;
  ctx.log.warn({ userId: known.id }, "a listed subject became SUPER_ADMIN");
  return changeRole(ctx, { userId: known.id, role: "SUPER_ADMIN" });
}

async function firstSight(ctx: DbCtx, { superAdmin: _, ...input }: SignIn): Promise<User> {
  const { issuer, subject } = input.identity;
  const made = newUser(ctx, input);
  // Two first calls at once meet at the unique key; the later one finds the row of the other.
  const inserted = await withTransaction(ctx, async (tx) => {
    const user = await insertUser(tx, made);
    if (user) await recordUserCreated(tx, user);
    return user;
  });
  return inserted ?? (await selectUserBySubject(ctx, issuer, subject)) ?? getUser(ctx, made.id);
}
