/** What other domains (the catalogue) need of a model without a caller. */
import { type DbCtx, notify, type TxCtx } from "../db/db.ts";
import { MODELS_CHANNEL } from "./changes.ts";
import type { NewEvent } from "./model.ts";
import type { ModelStatus } from "./states.ts";
import { insertEvents } from "./store/events.ts";
import {
  lockModel,
  type ModelWithSpec,
  selectModel,
  selectModels,
  selectModelsById,
} from "./store/models.ts";
import { modelNotFound, requireVisible, type WishInput } from "./wish.ts";

export interface OwnedModel {
  readonly modelId: string;
  readonly deploymentId: string;
  readonly userId: string;
  readonly name: string;
  readonly servedName: string;
  readonly status: ModelStatus;
  readonly kvCacheEnabled: boolean;
  readonly createdAt: Date;
}

/** Undefined for a model that is gone or going. */
export async function findModel(ctx: DbCtx, modelId: string): Promise<OwnedModel | undefined> {
  const found = await selectModel(ctx, modelId);
  if (!found || found.model.desired === "DELETED") return undefined;
  return ownedOf(found);
}

/** Those of these models that are neither gone nor going. */
export async function findModels(ctx: DbCtx, modelIds: readonly string[]): Promise<readonly OwnedModel[]> {
  const found = await selectModelsById(ctx, modelIds);
  return found.filter(({ model }) => model.desired !== "DELETED").map(ownedOf);
}

/** A user's models, newest first. */
export async function findModelsOf(
  ctx: DbCtx,
  page: {
    readonly userId: string;
    /** Time and id of the last model of the page before. */
    readonly after: { readonly at: Date; readonly id: string } | undefined;
    readonly limit: number;
  },
): Promise<readonly OwnedModel[]> {
  const { userId, after, limit } = page;
  const rows = await selectModels(ctx, {
    userId,
    statuses: [],
    order: { column: "created_at", descending: true },
    after: after && { value: after.at, id: after.id },
    limit,
  });
  return rows.map(ownedOf);
}

function ownedOf({ model, spec }: ModelWithSpec): OwnedModel {
  const { id, deploymentId, userId, name, servedName, status, createdAt } = model;
  const kvCacheEnabled = spec.kvCache;
  return { modelId: id, deploymentId, userId, name, servedName, status, kvCacheEnabled, createdAt };
}

/** A model that the principal may see, wherever in its life it is. Throws MODEL_NOT_FOUND. */
export async function findVisible(ctx: DbCtx, input: WishInput): Promise<OwnedModel> {
  return ownedOf(requireVisible(ctx, await selectModel(ctx, input.modelId), input));
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
