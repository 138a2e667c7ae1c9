import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import { roleThrough } from "./access.ts";
import { credentialHash, looksLikeAccessToken } from "./credential.ts";
import type { AccessToken, Principal, User } from "./model.ts";
import { selectTokenByHash, updateTokenUsed } from "./store/access-tokens.ts";

/** A use is written down at most so often a token: a busy token must not become a hot row. */
const USED_STEP_MS = 60_000;

/**
 * The caller behind a bearer token (the text after "Bearer "). Throws UNAUTHENTICATED with TOKEN_MISSING (empty),
 * TOKEN_INVALID (unknown or revoked) or TOKEN_EXPIRED, and PERMISSION_DENIED with USER_DISABLED.
 */
export async function authenticate(ctx: DbCtx, bearer: string): Promise<Principal> {
  if (bearer === "")
    throw refused("TOKEN_MISSING", "An access token is needed: send it as Authorization: Bearer <token>.");
  const found = looksLikeAccessToken(bearer)
    ? await selectTokenByHash(ctx, credentialHash(bearer))
    : undefined;
  if (!found || found.token.revokedAt !== null) {
    throw refused(
      "TOKEN_INVALID",
      "The access token is unknown or was revoked. Ask an administrator for another.",
    );
  }
  const now = ctx.clock.now();
  if (found.token.expiresAt !== null && found.token.expiresAt <= now) {
    throw refused("TOKEN_EXPIRED", "The access token has expired. Ask an administrator for another.");
  }
  const { userId, role, disabled, token } = { ...found, userId: found.token.userId };
  const principal = principalThrough({ id: userId, role, disabledAt: disabled ? now : null }, token);
  await noteUse(ctx, found.token, now);
  return principal;
}

/** What a user is through a token that holds. Throws USER_DISABLED. */
export function principalThrough(
  user: Pick<User, "id" | "role" | "disabledAt">,
  token: Pick<AccessToken, "id" | "scopes">,
): Principal {
  if (user.disabledAt !== null) throw userDisabled();
  const { id, scopes } = token;
  return { userId: user.id, role: roleThrough(scopes, user.role), tokenId: id, scopes };
}

async function noteUse(ctx: DbCtx, token: AccessToken, now: Date): Promise<void> {
  const unlessAfter = new Date(now.getTime() - USED_STEP_MS);
  if (token.lastUsedAt !== null && token.lastUsedAt > unlessAfter) return;
  await updateTokenUsed(ctx, token.id, now, unlessAfter).catch((error: unknown) =>
    // When it was last used is a courtesy; a caller is not turned away for it.
    ctx.log.warn({ err: error, tokenId: token.id }, "use of an access token was not noted"),
  );
}

function refused(reason: "TOKEN_MISSING" | "TOKEN_INVALID" | "TOKEN_EXPIRED", message: string): StatusError {
  return new StatusError({ code: "UNAUTHENTICATED", reason, message });
}

/** A user who may do nothing. */
export function userDisabled(): StatusError {
  return new StatusError({
    code: "PERMISSION_DENIED",
    reason: "USER_DISABLED",
    message: "This user is disabled. Ask an administrator to enable it.",
  });
}
