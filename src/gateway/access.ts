/** Who may call what: the model is resolved first, then the key is compared within it. */
import { hash, timingSafeEqual } from "node:crypto";
import { keyOpens } from "../base/key-scopes.ts";
import type { StatusError } from "../base/status.ts";
import { after } from "./after.ts";
import type { Directory } from "./directory.ts";
import { refused } from "./openai-error.ts";
import type { GatewayDeps, GatewayKey, GatewayRoute } from "./ports.ts";

/** A request that may go on, and who answers for it. */
export interface Access {
  readonly route: GatewayRoute;
  /** Who asks, and pays where there is a price. */
  readonly userId: string;
  /** Null when the model's own key was shown. */
  readonly keyId: string | null;
  /** What limits are counted by. */
  readonly limitKey: string;
  /** What of who asks is bounded by budgets; see GatewayKey. */
  readonly budgets: GatewayKey["budgets"];
}

export interface Asking {
  readonly authorization: string | undefined;
  readonly xUserId: string | undefined;
  /** From the path, or undefined on the common base. */
  readonly modelId: string | undefined;
}

/** No model is called so; what is longer is not looked up, and takes no room among the names that are known not to be there. */
const NAME_MAX_CHARS = 512;
const BEARER = /^Bearer +(\S+)\s*$/i;

/** The SHA-256 of the shown key, in base64. Throws TOKEN_MISSING. */
export function shownKey(authorization: string | undefined): string {
  const key = BEARER.exec(authorization ?? "")?.[1];
  if (key === undefined) {
    throw refused("TOKEN_MISSING", "Send your key as `Authorization: Bearer <key>`.");
  }
  return hash("sha256", key, "base64");
}

/**
 * Who asks for which model; at once where all of it is known. `name` is `model` of the body, "" when absent.
 * Throws, or rejects with, TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, USER_DISABLED, SCOPE_MISSING, NOT_ALLOWED or MODEL_NOT_FOUND.
 */
export function access(
  deps: GatewayDeps,
  directory: Directory,
  asking: Asking,
  name: string,
): Access | Promise<Access> {
  const shown = shownKey(asking.authorization);
  if (name.length > NAME_MAX_CHARS && asking.modelId === undefined) throw modelNotFound(name);
  const found = asking.modelId === undefined ? directory.name(name) : directory.model(asking.modelId);
  return after(found, (route) => {
    if (route && !route.published && isKeyOf(route, shown)) {
      checkOwner(route);
      checkUserId(asking, route);
      const limitKey = `model:${route.modelId}`;
      return { route, userId: route.ownerId, keyId: null, limitKey, budgets: undefined };
    }
    return after(directory.key(shown), (key) => {
      checkKey(deps, key);
      return after(resolve(directory, asking, name, route, key), (own) => byKey(asking, name, own, key));
    });
  });
}

export function isKeyOf(route: GatewayRoute, shown: string): boolean {
  return timingSafeEqual(route.keyHash, Buffer.from(shown, "base64"));
}

/** Throws TOKEN_INVALID, TOKEN_EXPIRED or USER_DISABLED. */
export function checkKey(deps: GatewayDeps, key: GatewayKey | undefined): asserts key is GatewayKey {
  if (!key) throw refused("TOKEN_INVALID", "This key opens nothing here. Check it, or make a new one.");
  if (key.expiresAt !== null && key.expiresAt <= deps.clock.now()) {
    throw refused("TOKEN_EXPIRED", "This key has expired. Make a new one.");
  }
  if (key.disabled) throw refused("USER_DISABLED", "This key's user is disabled. Ask the operator.");
}

/** For who shows the model's own key. Throws USER_DISABLED. */
export function checkOwner(route: GatewayRoute): void {
  if (route.ownerDisabled)
    throw refused("USER_DISABLED", "This model's owner is disabled. Ask the operator.");
}

/** What a user's key means by a name: their own deployment, else their own name for one, else the catalogue's. */
function resolve(
  directory: Directory,
  asking: Asking,
  name: string,
  route: GatewayRoute | undefined,
  key: GatewayKey,
): GatewayRoute | undefined | Promise<GatewayRoute | undefined> {
  if (route && !route.published && route.ownerId === key.userId) return route;
  if (asking.modelId !== undefined || name === "") return undefined;
  const own = directory.ofOwner(key.userId);
  return after(own, (routes) => routes?.find((one) => one.modelName === name) ?? (route?.published && route));
}

function byKey(asking: Asking, name: string, route: GatewayRoute | undefined, key: GatewayKey): Access {
  if (!route) throw modelNotFound(asking.modelId ?? name);
  if (!keyOpens(key.scopes, route.published ? "catalog" : { modelId: route.modelId })) {
    throw refused("SCOPE_MISSING", "This key's scopes do not open this model.");
  }
  if (!route.published) checkUserId(asking, route);
  const { userId, keyId, budgets } = key;
  return { route, userId, keyId, limitKey: `key:${keyId}`, budgets };
}

/** X-User-Id never grants anything: on a deployment it must be the owner's, on the catalogue nobody looks at it. */
function checkUserId(asking: Asking, route: GatewayRoute): void {
  if (asking.xUserId === undefined || asking.xUserId === "" || asking.xUserId.toLowerCase() === route.ownerId)
    return;
  throw refused("NOT_ALLOWED", "X-User-Id names another user than the one whose model this is.");
}

function modelNotFound(name: string): StatusError {
  const message =
    name === ""
      ? "`model` is missing: name a model that GET /v1/models lists."
      : `There is no model ${JSON.stringify(name.slice(0, 200))} that this key opens. GET /v1/models lists those that it does.`;
  return refused("MODEL_NOT_FOUND", message, { param: "model" });
}
