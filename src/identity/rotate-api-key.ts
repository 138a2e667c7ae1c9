import { recordAudit } from "../audit/index.ts";
import { StatusError } from "../base/status.ts";
import { type DbCtx, notify, withTransaction } from "../db/db.ts";
import { newInferenceKey } from "./credential.ts";
import type { ApiKey } from "./model.ts";
import { type KeyInput, ownedKey } from "./owned-key.ts";
import { updateKeySecret } from "./store/inference-keys.ts";

export interface Rotation extends KeyInput {
  /** How long the present secret still opens; 0 ends it within seconds. */
  readonly graceMs: number;
}

/**
 * Replaces the secret of a key, which stays what it is: id, name, scopes, end, budgets, usage. `secret` is the new one: in
 * this answer and never again. Of the secrets before it at most the last one has a grace. Throws KEY_NOT_FOUND, KEY_ENDED.
 */
export function rotateApiKey(
  ctx: DbCtx,
  input: Rotation,
): Promise<{ readonly apiKey: ApiKey; readonly secret: string }> {
  return withTransaction(ctx, async (tx) => {
    const key = await ownedKey(tx, input);
    const at = tx.clock.now();
    if (key.deletedAt !== null || (key.expiresAt !== null && key.expiresAt <= at)) throw keyEnded(key);
    const { secret, ...kept } = newInferenceKey(tx.random);
    const previousEndsAt = input.graceMs === 0 ? null : new Date(at.getTime() + input.graceMs);
    const apiKey = await updateKeySecret(tx, key.id, kept, { at, previousEndsAt });
    await notify(tx, "slipway_routes", `key:${key.id}`);
    await recordAudit(tx, {
      action: "key.rotated",
      subjectId: key.userId,
      resource: `api_key:${key.id}`,
      details: { oldSecretEnds: previousEndsAt?.toISOString() ?? "now" },
    });
    return { apiKey, secret };
  });
}

function keyEnded(key: ApiKey): StatusError {
  const how = key.deletedAt === null ? "has expired" : "is deleted";
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "KEY_ENDED",
    message: `The key ${key.id} ${how}, and a new secret would not change that. Make another key.`,
  });
}
