import { recordAudit } from "../../audit/index.ts";
import { StatusError } from "../../base/status.ts";
import { type DbCtx, withTransaction } from "../../db/db.ts";
import { newInvitationCode } from "../credential.ts";
import { getUser } from "../find-user.ts";
import { LOCAL_ISSUER, type User } from "../model.ts";
import { selectPasswordLogin, upsertInvitation } from "../store/passwords.ts";

/** Time for a person to read the mail. */
const HOLDS_MS = 72 * 3_600_000;

export interface NewInvitation {
  readonly user: User;
  /** What the user types as the name. */
  readonly login: string;
  /** Shown once; sets the password once. */
  readonly code: string;
  readonly expiresAt: Date;
}

/**
 * Makes the code by which a user sets a password, for the first time or after it was forgotten. An earlier code of the user
 * ends. Throws USER_NOT_FOUND, LOGIN_UNAVAILABLE for somebody who logs in elsewhere or has no e-mail address, and USER_EXISTS
 * where another user logs in with this address.
 */
export function inviteUser(ctx: DbCtx, input: { readonly userId: string }): Promise<NewInvitation> {
  return withTransaction(ctx, async (tx) => {
    const invitation = await newInvitation(tx, input.userId);
    const subjectId = invitation.user.id;
    await recordAudit(tx, { action: "user.invited", subjectId, resource: `user:${subjectId}` });
    return invitation;
  });
}

async function newInvitation(ctx: DbCtx, userId: string): Promise<NewInvitation> {
  const user = await getUser(ctx, userId);
  const login = loginNameOf(user.email);
  if (user.issuer !== LOCAL_ISSUER) throw unavailable(`This user logs in at ${user.issuer}.`);
  if (login === "")
    throw unavailable(
      "This user has no e-mail address, which is what is typed to log in. Make a user that has one.",
    );
  const known = await selectPasswordLogin(ctx, login);
  if (known && known.userId !== user.id) throw loginTaken();
  const { secret, hash } = newInvitationCode(ctx.random);
  const createdAt = ctx.clock.now();
  const expiresAt = new Date(createdAt.getTime() + HOLDS_MS);
  await upsertInvitation(ctx, { userId: user.id, login, codeHash: hash, createdAt, expiresAt });
  return { user, login, code: secret, expiresAt };
}

/** How an address is typed to log in, in any case of letters. */
export function loginNameOf(email: string): string {
  return email.normalize("NFKC").trim().toLowerCase();
}

export function loginTaken(): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "USER_EXISTS",
    message:
      "Another user logs in with this e-mail address. Invite that one, or give this one another address.",
  });
}

function unavailable(message: string): StatusError {
  return new StatusError({ code: "FAILED_PRECONDITION", reason: "LOGIN_UNAVAILABLE", message });
}
