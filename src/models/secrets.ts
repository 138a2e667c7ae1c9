/** Secrets of models and replicas: sealed in their rows, bound to the row by its id, opened only to be used. */
import { sha256 } from "../base/id.ts";
import type { SecretBox } from "../base/seal.ts";
import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import type { Attempt } from "./model.ts";
import { priceBoundOf } from "./placement.ts";
import type { ModelsDeps } from "./ports.ts";
import type { Serving } from "./reconcile/work.ts";
import { selectModel } from "./store/models.ts";

const API_KEY = "model.api-key";
const HF_TOKEN = "model.hf-token";
const ENGINE_KEY = "attempt.engine-key";
const KEY_BYTES = 32;

export function newApiKey(ctx: DbCtx): string {
  return `sk-${ctx.random.bytes(KEY_BYTES).toString("base64url")}`;
}

export function sealApiKey(deps: Pick<ModelsDeps, "box">, modelId: string, apiKey: string) {
  return { sealed: deps.box.seal(API_KEY, modelId, apiKey), hash: sha256(apiKey) };
}

export function openApiKey(deps: Pick<ModelsDeps, "box">, modelId: string, sealed: Buffer): string {
  return deps.box.open(API_KEY, modelId, sealed);
}

/** Null for no token. */
export function sealHfToken(deps: Pick<ModelsDeps, "box">, modelId: string, token: string): Buffer | null {
  return token === "" ? null : deps.box.seal(HF_TOKEN, modelId, token);
}

export function openHfToken(deps: Pick<ModelsDeps, "box">, modelId: string, sealed: Buffer | null): string {
  return sealed === null ? "" : deps.box.open(HF_TOKEN, modelId, sealed);
}

/** A new random key of one engine, sealed: what gateway and probes present to it, never a user's. */
export function sealEngineKey(ctx: DbCtx, deps: Pick<ModelsDeps, "box">, replicaName: string): Buffer {
  return deps.box.seal(ENGINE_KEY, replicaName, ctx.random.bytes(KEY_BYTES).toString("base64url"));
}

/**
 * The key in clear. Every probe of every replica asks for it, so keys stay open in memory, as they do in the engine itself; a
 * row that was sealed anew is opened anew.
 */
export function openEngineKey(
  deps: Pick<ModelsDeps, "box">,
  attempt: Pick<Attempt, "name" | "engineKeySealed">,
): string {
  const keys = openKeys.get(deps.box) ?? new Map();
  openKeys.set(deps.box, keys);
  const kept = keys.get(attempt.name);
  if (kept?.sealed.equals(attempt.engineKeySealed)) return kept.key;
  const key = deps.box.open(ENGINE_KEY, attempt.name, attempt.engineKeySealed);
  if (keys.size >= OPEN_KEYS_MAX) keys.clear();
  keys.set(attempt.name, { sealed: attempt.engineKeySealed, key });
  return key;
}

/** Bounds what replicas that are long gone leave behind; more replicas than this only cost the opening. */
const OPEN_KEYS_MAX = 50_000;
const openKeys = new WeakMap<SecretBox, Map<string, { readonly sealed: Buffer; readonly key: string }>>();

/** What replicas of the model are started with. */
export async function servingOf(
  ctx: DbCtx,
  deps: Pick<ModelsDeps, "box">,
  modelId: string,
): Promise<Serving> {
  const found = await selectModel(ctx, modelId);
  if (!found) {
    throw new StatusError({ code: "NOT_FOUND", reason: "MODEL_NOT_FOUND", message: "The model is gone." });
  }
  const { path, weights, hardware, plan, wanted, hfTokenSealed, spec: modelSpec } = found.spec;
  const switches = { kvCacheEnabled: found.spec.kvCache, cpuOffloadingEnabled: found.spec.cpuOffloading };
  const hfToken = openHfToken(deps, modelId, hfTokenSealed);
  const priceBound = priceBoundOf(found.spec);
  return { path, weights, hardware, plan, hfToken, wanted, switches, modelSpec, priceBound };
}
