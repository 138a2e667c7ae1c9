import { StatusError } from "../../base/status.ts";
import { constraintOf, type DbCtx, withTransaction } from "../../db/db.ts";
import { credentialHash } from "../credential.ts";
import { getUser } from "../find-user.ts";
import type { User } from "../model.ts";
import { takeInvitation, upsertPasswordLogin } from "../store/passwords.ts";
import { loginTaken } from "./invite-user.ts";
import { takeCodeAttempt } from "./login-throttle.ts";
import { hashPassword } from "./password-hash.ts";
import { requireGoodPassword } from "./password-rules.ts";
import { recordLogin } from "./record-login.ts";

export interface SetPassword {
  readonly code: string;
  readonly password: string;
  /** From where it is asked. */
  readonly address: string;
  /** Ends what the old password opened, in the same transaction. */
  readonly endSessions: (tx: DbCtx, userId: string) => Promise<void>;
}

/**
 * Sets the password of the user who was invited; the code ends with it. Throws RATE_LIMITED, INVITATION_INVALID, INVALID_FIELD
 * for a password that won't do (the code still holds then), USER_EXISTS.
 */
export async function setPassword(ctx: DbCtx, input: SetPassword): Promise<User> {
  await takeCodeAttempt(ctx, input.address);
  try {
    return await withTransaction(ctx, async (tx) => {
      const now = tx.clock.now();
      const invited = await takeInvitation(tx, credentialHash(input.code.trim()), now);
      if (!invited) throw invitationInvalid();
      requireGoodPassword(input.password, invited.login);
      const passwordHash = await hashPassword(tx.random, input.password);
      await upsertPasswordLogin(tx, { ...invited, passwordHash, now });
      await input.endSessions(tx, invited.userId);
      const { userId } = invited;
      await recordLogin(tx, { action: "user.password_set", userId, address: input.address, byUser: true });
      return getUser(tx, invited.userId);
    });
  } catch (error) {
    throw constraintOf(error) === "password_login_login_key" ? loginTaken() : error;
  }
}

function invitationInvalid(): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "INVITATION_INVALID",
    message: "The code is unknown, was used, or has expired. Ask an administrator for a new one.",
  });
}
