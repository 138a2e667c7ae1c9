import { recordAudit } from "../audit/index.ts";
import { invalidArgument, StatusError } from "../base/status.ts";
import { type DbCtx, notify, withTransaction } from "../db/db.ts";
import { keyScopeViolations } from "./access.ts";
import { expiryViolations } from "./create-access-token.ts";
import { newInferenceKey } from "./credential.ts";
import { getUser } from "./find-user.ts";
import type { ApiKey } from "./model.ts";
import { countKeysLocked, insertInferenceKey } from "./store/inference-keys.ts";

/** Keys that one user may hold at once; as many as one list shows. */
export const KEYS_MAX = 1_000;

export interface NewApiKey {
  readonly userId: string;
  readonly name: string;
  /** `inference`, `catalog`, `model:<modelId>`; none means all inference. */
  readonly scopes: readonly string[];
  /** Null for never. */
  readonly expiresAt: Date | null;
}

/**
 * Makes a key for inference. `secret` is the key itself: in this answer and never again.
 * Throws USER_NOT_FOUND, TOO_MANY_KEYS, and INVALID_FIELD for unknown scopes or an end that has passed.
 */
export function createApiKey(
  ctx: DbCtx,
  input: NewApiKey,
): Promise<{ readonly apiKey: ApiKey; readonly secret: string }> {
  const now = ctx.clock.now();
  const violations = [...keyScopeViolations(input.scopes), ...expiryViolations(input.expiresAt, now)];
  if (violations.length > 0) throw invalidArgument(violations);
  return withTransaction(ctx, async (tx) => {
    const user = await getUser(tx, input.userId);
    if ((await countKeysLocked(tx, user.id)) >= KEYS_MAX) throw tooManyKeys();
    const { secret, hash, prefix } = newInferenceKey(tx.random);
    const apiKey: ApiKey = {
      id: tx.random.uuid(),
      userId: user.id,
      name: input.name,
      prefix,
      scopes: input.scopes.map((scope) => scope.toLowerCase()),
      createdAt: now,
      expiresAt: input.expiresAt,
      deletedAt: null,
      lastUsedAt: null,
      rotatedAt: null,
      previousSecretEndsAt: null,
    };
    await insertInferenceKey(tx, apiKey, hash);
    await notify(tx, "slipway_routes", `key:${apiKey.id}`);
    await recordAudit(tx, {
      action: "key.created",
      subjectId: user.id,
      resource: `api_key:${apiKey.id}`,
      details: {
        scopes: apiKey.scopes.join(" ") || "all",
        expires: apiKey.expiresAt?.toISOString() ?? "never",
      },
    });
    return { apiKey, secret };
  });
}

function tooManyKeys(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "TOO_MANY_KEYS",
    message: `A user holds at most ${KEYS_MAX} keys. Delete one that is no longer used.`,
  });
}
