/** What other domains (the catalogue) need of a model without a caller. */
import { type DbCtx, notify, type TxCtx } from "../db/db.ts";
import { MODELS_CHANNEL } from "./changes.ts";
import type { Model, NewEvent } from "./model.ts";
import type { ModelStatus } from "./states.ts";
import { insertEvents } from "./store/events.ts";
import { lockModel, selectModel } from "./store/models.ts";
import { modelNotFound, requireVisible, type WishInput } from "./wish.ts";

export interface OwnedModel {
  readonly modelId: string;
  readonly deploymentId: string;
  readonly userId: string;
  readonly name: string;
  readonly servedName: string;
  readonly status: ModelStatus;
}

/** Undefined for a model that is gone or going. */
export async function findModel(ctx: DbCtx, modelId: string): Promise<OwnedModel | undefined> {
  const found = await selectModel(ctx, modelId);
  if (!found || found.model.desired === "DELETED") return undefined;
  return ownedOf(found.model);
}

function ownedOf({ id, deploymentId, userId, name, servedName, status }: Model): OwnedModel {
  return { modelId: id, deploymentId, userId, name, servedName, status };
}

/** A model that the principal may see, wherever in its life it is. Throws MODEL_NOT_FOUND. */
export async function findVisible(ctx: DbCtx, input: WishInput): Promise<OwnedModel> {
  return ownedOf(requireVisible(ctx, await selectModel(ctx, input.modelId), input).model);
}

/** Adds an event to a model's own, in the caller's transaction. Throws MODEL_NOT_FOUND. */
export async function noteModelEvent(
  tx: TxCtx,
  input: { readonly modelId: string; readonly event: NewEvent },
): Promise<void> {
  const found = await lockModel(tx, input.modelId);
  if (!found) throw modelNotFound(input.modelId);
  await insertEvents(tx, found.model, [input.event], tx.clock.now());
  await notify(tx, MODELS_CHANNEL, input.modelId);
}
