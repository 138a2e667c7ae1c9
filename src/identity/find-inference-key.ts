import type { DbCtx } from "../db/db.ts";
import { credentialHash } from "./credential.ts";
import type { InferenceKey } from "./model.ts";
import { selectKeyByHash, updateKeysUsed } from "./store/inference-keys.ts";
import { selectDisabled } from "./store/users.ts";

/** A use is written down at most so often a key. */
const USED_STEP_MS = 60_000;

/** What a shown key is looked up by. */
export const inferenceKeyHash = credentialHash;

/** The key with this hash; undefined when there is none or it was deleted. Expiry and `disabled` are the caller's to judge. */
export function findInferenceKey(ctx: DbCtx, keyHash: Buffer): Promise<InferenceKey | undefined> {
  return selectKeyByHash(ctx, keyHash);
}

/** Those of the users who are disabled. */
export async function disabledAmong(ctx: DbCtx, userIds: readonly string[]): Promise<ReadonlySet<string>> {
  return new Set(userIds.length === 0 ? [] : await selectDisabled(ctx, userIds));
}

/** Notes when keys were used, to the minute. Called with each batch of usage; unknown keys are ignored. */
export async function noteKeyUses(
  ctx: DbCtx,
  batch: readonly { readonly keyId: string; readonly at: Date }[],
): Promise<void> {
  const latest = new Map<string, Date>();
  for (const use of batch) {
    const known = latest.get(use.keyId);
    if (known === undefined || known < use.at) latest.set(use.keyId, use.at);
  }
  const uses = [...latest].map(([keyId, at]) => ({ keyId, at }));
  if (uses.length > 0) await updateKeysUsed(ctx, uses, USED_STEP_MS);
}
