/** Who may call what: the model is resolved first, then the key is compared within it. */
import { timingSafeEqual } from "node:crypto";
import { sha256 } from "../base/id.ts";
import type { StatusError } from "../base/status.ts";
import { type InferenceKey, keyOpens } from "../identity/index.ts";
import type { Directory } from "./directory.ts";
import { refused } from "./openai-error.ts";
import type { GatewayDeps, GatewayRoute } from "./ports.ts";

/** A request that may go on, and who answers for it. */
export interface Access {
  readonly route: GatewayRoute;
  /** Who asks, and pays where there is a price. */
  readonly userId: string;
  /** Null when the model's own key was shown. */
  readonly keyId: string | null;
  /** What limits are counted by. */
  readonly limitKey: string;
}

export interface Asking {
  readonly authorization: string | undefined;
  readonly xUserId: string | undefined;
  /** From the path, or undefined on the common base. */
  readonly modelId: string | undefined;
  /** `model` of the body; "" when absent. */
  readonly name: string;
}

const BEARER = /^Bearer +(\S+)\s*$/i;

/** The SHA-256 of the shown key. Throws TOKEN_MISSING. */
export function shownKey(authorization: string | undefined): Buffer {
  const key = BEARER.exec(authorization ?? "")?.[1];
  if (key === undefined) {
    throw refused("TOKEN_MISSING", "Send your key as `Authorization: Bearer <key>`.");
  }
  return sha256(key);
}

/** Throws TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, USER_DISABLED, SCOPE_MISSING, NOT_ALLOWED or MODEL_NOT_FOUND. */
export async function access(deps: GatewayDeps, directory: Directory, asking: Asking): Promise<Access> {
  const hash = shownKey(asking.authorization);
  const found = asking.modelId === undefined ? directory.name(asking.name) : directory.model(asking.modelId);
  const route = found instanceof Promise ? await found : found;
  if (route && !route.published && timingSafeEqual(route.keyHash, hash)) {
    checkUserId(asking, route);
    return { route, userId: route.ownerId, keyId: null, limitKey: `model:${route.modelId}` };
  }
  const known = directory.key(hash);
  const key = known instanceof Promise ? await known : known;
  if (!key) throw refused("TOKEN_INVALID", "This key opens nothing here. Check it, or make a new one.");
  checkKey(deps, key);
  const own =
    route && (route.published || route.ownerId === key.userId) ? route : await alias(directory, asking, key);
  if (!own) throw modelNotFound(asking);
  if (!keyOpens(key.scopes, own.published ? "catalog" : { modelId: own.modelId })) {
    throw refused("SCOPE_MISSING", "This key's scopes do not open this model.");
  }
  if (!own.published) checkUserId(asking, own);
  return { route: own, userId: key.userId, keyId: key.keyId, limitKey: `key:${key.keyId}` };
}

/** Throws TOKEN_EXPIRED or USER_DISABLED. */
export function checkKey(deps: GatewayDeps, key: InferenceKey): void {
  if (key.expiresAt !== null && key.expiresAt <= deps.clock.now()) {
    throw refused("TOKEN_EXPIRED", "This key has expired. Make a new one.");
  }
  if (key.disabled) throw refused("USER_DISABLED", "This key's user is disabled. Ask the operator.");
}

/** The owner's own name for a model: an alias that only the owner's keys know. */
async function alias(
  directory: Directory,
  asking: Asking,
  key: InferenceKey,
): Promise<GatewayRoute | undefined> {
  if (asking.modelId !== undefined || asking.name === "") return undefined;
  const own = await directory.ofOwner(key.userId);
  return own.find((route) => route.modelName === asking.name);
}

/** X-User-Id never grants anything: on a deployment it must be the owner's, on the catalogue nobody looks at it. */
function checkUserId(asking: Asking, route: GatewayRoute): void {
  if (asking.xUserId === undefined || asking.xUserId === "" || asking.xUserId.toLowerCase() === route.ownerId)
    return;
  throw refused("NOT_ALLOWED", "X-User-Id names another user than the one whose model this is.");
}

function modelNotFound(asking: Asking): StatusError {
  const name = asking.modelId ?? asking.name;
  const message =
    name === ""
      ? "`model` is missing: name a model that GET /v1/models lists."
      : `There is no model ${JSON.stringify(name.slice(0, 200))} that this key opens. GET /v1/models lists those that it does.`;
  return refused("MODEL_NOT_FOUND", message, { param: "model" });
}
