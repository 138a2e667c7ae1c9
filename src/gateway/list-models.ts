import { checkKey, checkOwner, isKeyOf, shownKey } from "./access.ts";
import { refused } from "./openai-error.ts";
import type { Parts } from "./parts.ts";
import type { GatewayRoute, PublishedOffer } from "./ports.ts";

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

/** GET /v1/models: the catalogue for everybody; with a key also what its user owns. */
export async function listModels(parts: Parts, authorization: string | undefined): Promise<ModelList> {
  const names = (await catalogue(parts)).map((offer) => offer.servedName);
  if (!authorization?.toLowerCase().startsWith("bearer ")) return listOf(names);
  const key = await parts.directory.key(shownKey(authorization));
  // A model's own key lists the catalogue: it says nothing about its owner.
  if (!key) return listOf(names);
  checkKey(parts.deps, key);
  const own = (await parts.directory.ofOwner(key.userId)) ?? [];
  return listOf([...new Set([...names, ...own.map(nameOf)])]);
}

/** GET /m/<modelId>/v1/models: that model alone, for its own key and its owner's. */
export async function listOneModel(
  parts: Parts,
  modelId: string,
  authorization: string | undefined,
): Promise<ModelList> {
  const shown = shownKey(authorization);
  const route = await parts.directory.model(modelId);
  if (route && isKeyOf(route, shown)) {
    checkOwner(route);
    return listOf([nameOf(route)]);
  }
  const key = await parts.directory.key(shown);
  checkKey(parts.deps, key);
  if (route?.ownerId === key.userId) return listOf([nameOf(route)]);
  throw refused("MODEL_NOT_FOUND", "There is no such model that this key opens.");
}

async function catalogue(parts: Parts): Promise<readonly PublishedOffer[]> {
  try {
    return await parts.deps.control.published();
  } catch (cause) {
    throw refused("UNAVAILABLE", "The catalogue can't be read at the moment. Try again shortly.", {
      retryAfterMs: 2_000,
      cause,
    });
  }
}

function nameOf(route: GatewayRoute): string {
  return route.servedName;
}

function listOf(names: readonly string[]): ModelList {
  const data = names.map((id): ListedModel => ({ id, object: "model", created: 0, owned_by: "slipway" }));
  return { object: "list", data };
}
