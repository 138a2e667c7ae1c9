import { recordAudit } from "../audit/index.ts";
import { type FieldViolation, invalidArgument } from "../base/status.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import { tokenScopeViolations } from "./access.ts";
import { newAccessToken } from "./credential.ts";
import { getUser } from "./find-user.ts";
import type { AccessToken } from "./model.ts";
import { insertAccessToken } from "./store/access-tokens.ts";

export interface NewAccessToken {
  readonly userId: string;
  readonly name: string;
  /** `read`, `write`, `admin`; none means all that the user may. */
  readonly scopes: readonly string[];
  /** Null for never. */
  readonly expiresAt: Date | null;
}

/**
 * Makes a token by which a machine acts as the user. `token` is the secret: in this answer and never again.
 * Throws USER_NOT_FOUND, and INVALID_FIELD for unknown scopes or an end that has passed.
 */
export async function createAccessToken(
  ctx: DbCtx,
  input: NewAccessToken,
): Promise<{ readonly id: string; readonly token: string; readonly accessToken: AccessToken }> {
  const now = ctx.clock.now();
  const violations = [...tokenScopeViolations(input.scopes), ...expiryViolations(input.expiresAt, now)];
  if (violations.length > 0) throw invalidArgument(violations);
  return withTransaction(ctx, async (tx) => {
    const user = await getUser(tx, input.userId);
    const { secret, hash, prefix } = newAccessToken(tx.random);
    const accessToken: AccessToken = {
      id: tx.random.uuid(),
      userId: user.id,
      name: input.name,
      prefix,
      scopes: input.scopes,
      createdAt: now,
      expiresAt: input.expiresAt,
      revokedAt: null,
      lastUsedAt: null,
    };
    await insertAccessToken(tx, accessToken, hash);
    await recordAudit(tx, {
      action: "token.created",
      subjectId: user.id,
      resource: `access_token:${accessToken.id}`,
      details: {
        scopes: input.scopes.join(" ") || "all",
        expires: input.expiresAt?.toISOString() ?? "never",
      },
    });
    return { id: accessToken.id, token: secret, accessToken };
  });
}

/** Rules of the end of a token or key. */
export function expiryViolations(expiresAt: Date | null, now: Date): readonly FieldViolation[] {
  if (expiresAt === null || expiresAt > now) return [];
  return [{ field: "expires_at", description: "must lie in the future" }];
}
