import type { DbCtx } from "../db/db.ts";
import type { ModelView } from "./model.ts";
import type { ModelsDeps } from "./ports.ts";
import { selectModel } from "./store/models.ts";
import { viewOf } from "./view.ts";
import { requireVisible, type WishInput } from "./wish.ts";

/** A model with its newest events; with its key for its owner alone. Throws MODEL_NOT_FOUND. */
export async function getModel(ctx: DbCtx, deps: ModelsDeps, input: WishInput): Promise<ModelView> {
  const found = requireVisible(ctx, await selectModel(ctx, input.modelId), input);
  return viewOf(ctx, deps, found, found.model.userId === input.principal.userId);
}
