import type { DbCtx } from "../db/db.ts";
import { KEYS_MAX } from "./create-api-key.ts";
import type { ApiKey } from "./model.ts";
import { selectInferenceKeys } from "./store/inference-keys.ts";

/** A user's keys without the keys themselves, newest first, at most KEYS_MAX. */
export function listApiKeys(
  ctx: DbCtx,
  input: { readonly userId: string; readonly includeDeleted: boolean },
): Promise<readonly ApiKey[]> {
  return selectInferenceKeys(ctx, { ...input, limit: KEYS_MAX });
}
