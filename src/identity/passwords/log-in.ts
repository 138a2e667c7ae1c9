import { StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { userDisabled } from "../authenticate.ts";
import { getUser } from "../find-user.ts";
import type { User } from "../model.ts";
import { selectPasswordLogin } from "../store/passwords.ts";
import { loginNameOf } from "./invite-user.ts";
import { takeLoginAttempt } from "./login-throttle.ts";
import { passwordMatches } from "./password-hash.ts";
import { recordLogin } from "./record-login.ts";

/** Longer ones are nobody's, and are not worth a hash. */
const NAME_LENGTH_MAX = 320;
const PASSWORD_LENGTH_MAX = 1_000;

/**
 * The user with this name and password. Throws RATE_LIMITED, LOGIN_FAILED (the same for an unknown name and a wrong password,
 * after the same time) and USER_DISABLED.
 */
export async function logIn(
  ctx: DbCtx,
  input: { readonly login: string; readonly password: string; readonly address: string },
): Promise<User> {
  const login = loginNameOf(input.login);
  if (login.length > NAME_LENGTH_MAX || input.password.length > PASSWORD_LENGTH_MAX) throw failed();
  const attempt = await takeLoginAttempt(ctx, { login, address: input.address });
  const known = await selectPasswordLogin(ctx, login);
  const { address } = input;
  if (!(await passwordMatches(input.password, known?.passwordHash)) || !known) {
    if (known) {
      await recordLogin(ctx, { action: "user.login_failed", userId: known.userId, address, byUser: false });
    }
    throw failed();
  }
  await attempt.succeeded();
  const user = await getUser(ctx, known.userId);
  if (user.disabledAt !== null) throw userDisabled();
  await recordLogin(ctx, { action: "user.logged_in", userId: user.id, address, byUser: true });
  return user;
}

function failed(): StatusError {
  return new StatusError({
    code: "UNAUTHENTICATED",
    reason: "LOGIN_FAILED",
    message:
      "E-mail address and password don't match. A forgotten password is set anew with a code from an administrator.",
  });
}
