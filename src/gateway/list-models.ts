import { timingSafeEqual } from "node:crypto";
import { checkKey, shownKey } from "./access.ts";
import { refused } from "./openai-error.ts";
import type { Parts } from "./parts.ts";
import type { GatewayRoute } from "./ports.ts";

interface ListedModel {
  readonly id: string;
  readonly object: "model";
  readonly created: number;
  readonly owned_by: string;
}

interface ModelList {
  readonly object: "list";
  readonly data: readonly ListedModel[];
}

/** GET /v1/models: the catalogue for everybody; with a key also what it opens; below /m/<id> that model alone. */
export async function listModels(
  parts: Parts,
  modelId: string | undefined,
  authorization: string | undefined,
): Promise<ModelList> {
  if (modelId !== undefined) return listOf([await one(parts, modelId, authorization)].map(nameOf));
  const names = (await parts.deps.control.published()).map((offer) => offer.servedName);
  if (authorization === undefined) return listOf(names);
  const key = await parts.directory.key(shownKey(authorization));
  // A model's own key lists the catalogue: it says nothing about its owner.
  if (!key) return listOf(names);
  checkKey(parts.deps, key);
  const own = await parts.directory.ofOwner(key.userId);
  return listOf([...new Set([...names, ...own.map(nameOf)])]);
}

async function one(parts: Parts, modelId: string, authorization: string | undefined): Promise<GatewayRoute> {
  const hash = shownKey(authorization);
  const route = await parts.directory.model(modelId);
  if (route && timingSafeEqual(route.keyHash, hash)) return route;
  const key = await parts.directory.key(hash);
  if (!key) throw refused("TOKEN_INVALID", "This key opens nothing here. Check it, or make a new one.");
  checkKey(parts.deps, key);
  if (route?.ownerId === key.userId) return route;
  throw refused("MODEL_NOT_FOUND", "There is no such model that this key opens.");
}

function nameOf(route: GatewayRoute): string {
  return route.servedName;
}

function listOf(names: readonly string[]): ModelList {
  const data = names.map((id): ListedModel => ({ id, object: "model", created: 0, owned_by: "slipway" }));
  return { object: "list", data };
}
