/** A model as its owner sees it. */
import type { DbCtx } from "../db/db.ts";
import { EVENTS_SHOWN, type ModelView } from "./model.ts";
import type { ModelsDeps } from "./ports.ts";
import { openApiKey } from "./secrets.ts";
import { selectNewestEvents } from "./store/events.ts";
import type { ModelWithSpec } from "./store/models.ts";

export function endpointOf(deps: Pick<ModelsDeps, "gatewayUrl">, modelId: string): string {
  return `${deps.gatewayUrl().replace(/\/+$/, "")}/m/${modelId}/v1`;
}

/** Views of many models, with their newest events and without their keys. */
export async function viewsOf(
  ctx: DbCtx,
  deps: ModelsDeps,
  found: readonly ModelWithSpec[],
): Promise<readonly ModelView[]> {
  const ids = found.map(({ model }) => model.id);
  const events = await selectNewestEvents(ctx, ids, EVENTS_SHOWN);
  return found.map((one) => ({
    ...one,
    events: events.get(one.model.id) ?? [],
    apiKey: "",
    endpoint: endpointOf(deps, one.model.id),
  }));
}

/** The view of one model; with its key where `withKey`. */
export async function viewOf(
  ctx: DbCtx,
  deps: ModelsDeps,
  found: ModelWithSpec,
  withKey: boolean,
): Promise<ModelView> {
  const events = await selectNewestEvents(ctx, [found.model.id], EVENTS_SHOWN);
  return {
    ...found,
    events: events.get(found.model.id) ?? [],
    apiKey: withKey ? openApiKey(deps, found.model.id, found.spec.apiKeySealed) : "",
    endpoint: endpointOf(deps, found.model.id),
  };
}
