import { recordAudit } from "../audit/index.ts";
import { StatusError } from "../base/status.ts";
import { type DbCtx, type TxCtx, withTransaction } from "../db/db.ts";
import { LOCAL_ISSUER, type Role, type User } from "./model.ts";
import { insertUser } from "./store/users.ts";

export interface NewUser {
  readonly role?: Role;
  readonly firstName?: string;
  readonly lastName?: string;
  readonly displayName?: string;
  readonly email?: string;
  readonly company?: string;
  /** Who vouches for the user; this installation itself by default, under a subject that is the user's own id. */
  readonly identity?: { readonly issuer: string; readonly subject: string };
}

/** Makes a user. Throws ALREADY_EXISTS when the issuer's subject is a user already. */
export function createUser(ctx: DbCtx, input: NewUser): Promise<User> {
  return withTransaction(ctx, async (tx) => {
    const made = await insertUser(tx, newUser(tx, input));
    if (!made) throw userExists();
    await recordUserCreated(tx, made);
    return made;
  });
}

/** For whoever inserts a user: the event that tells of it. */
export function recordUserCreated(tx: TxCtx, { id, role, issuer }: User): Promise<void> {
  return recordAudit(tx, {
    action: "user.created",
    subjectId: id,
    resource: `user:${id}`,
    details: { role, issuer },
  });
}

function userExists(): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "USER_EXISTS",
    message: "This subject of the issuer is a user already.",
  });
}

/** The user that `input` describes, with a new id. */
export function newUser(ctx: DbCtx, input: NewUser): User {
  const id = ctx.random.uuid();
  const { issuer, subject } = input.identity ?? { issuer: LOCAL_ISSUER, subject: id };
  return {
    id,
    issuer,
    subject,
    role: input.role ?? "USER",
    platform: false,
    firstName: input.firstName ?? "",
    lastName: input.lastName ?? "",
    displayName: input.displayName ?? "",
    email: input.email ?? "",
    company: input.company ?? "",
    createdAt: ctx.clock.now(),
    disabledAt: null,
    tosAcceptedAt: null,
    tosAcceptedVersion: "",
  };
}
