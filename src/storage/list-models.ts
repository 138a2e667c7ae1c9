import { cutPage, parsePage, timeAndId } from "../base/page.ts";
import type { DbCtx } from "../db/db.ts";
import { findModelsOf } from "../models/index.ts";
import { storedModel } from "./attach-model.ts";
import { bucketMissing, type StoredModel } from "./model.ts";
import { selectBucket, selectDetached, selectUses } from "./store.ts";

export interface StoredModelsPage {
  readonly models: readonly StoredModel[];
  readonly nextPageToken: string;
}

/** A page of the user's models and what each keeps, newest first. Throws STORAGE_NOT_FOUND, INVALID_FIELD. */
export async function listStoredModels(
  ctx: DbCtx,
  input: { readonly userId: string; readonly pageSize: number; readonly pageToken: string },
): Promise<StoredModelsPage> {
  const bucket = await selectBucket(ctx, input.userId);
  if (!bucket) throw bucketMissing();
  const query = JSON.stringify(["storage", input.userId]);
  const page = parsePage(input, query);
  const after = timeAndId(page);
  const rows = await findModelsOf(ctx, { userId: input.userId, after, limit: page.size + 1 });
  const cut = cutPage(rows, page, query, (model) => [model.createdAt.toISOString(), model.modelId]);
  const ids = cut.rows.map(({ modelId }) => modelId);
  const [uses, detached] = await Promise.all([selectUses(ctx, bucket.id, ids), selectDetached(ctx, ids)]);
  const out = new Set(detached.filter((one) => one.bucketId === bucket.id).map((one) => one.modelId));
  return {
    models: cut.rows.map((model) => storedModel(model, out.has(model.modelId), uses.get(model.modelId))),
    nextPageToken: cut.nextPageToken,
  };
}
