/** Weights: what they are, and having them on this disk. */
import type { BaseCtx } from "../base/ctx.ts";
import type { GuardedClient } from "../base/guarded-client.ts";
import type { WeightsFacts } from "../engines/engine.ts";
import { openCache } from "./cache.ts";
import type { Builtin } from "./deps.ts";
import { type EnsureInput, ensureWeights } from "./ensure.ts";
import { resolveWeights } from "./resolve.ts";

export type { Builtin } from "./deps.ts";
export type { EnsureInput } from "./ensure.ts";

export interface Weights {
  /**
   * Facts without fetching the weights. Throws WEIGHTS_NOT_FOUND, WEIGHTS_GATED, HUB_TOKEN_INVALID, HUB_UNREACHABLE,
   * WEIGHTS_UNSUPPORTED, WEIGHTS_PATH_REFUSED or URL_REFUSED (the hub sent to a place that the operator does not allow).
   */
  resolve(ctx: BaseCtx, input: { readonly source: string; readonly hfToken: string }): Promise<WeightsFacts>;
  /**
   * Makes the files be on disk (resumed, checked, within the store's limit) and gives absolute paths. May be called again and
   * at once: calls for the same content join, over processes too. Throws besides the above WEIGHTS_CHECKSUM and DISK_FULL.
   */
  ensure(ctx: BaseCtx, input: EnsureInput): Promise<readonly string[]>;
}

export interface WeightsOptions {
  /** The shared store; made when missing. */
  readonly cacheDir: string;
  /** Bound of the store; what is in use may not be removed to keep it, so then nothing more is fetched. */
  readonly cacheMaxBytes: number;
  /** HF_ENDPOINT. Its host, and hosts that it redirects to, must be allowed by `client`. */
  readonly hubEndpoint: string;
  readonly client: GuardedClient;
  /** Folders that file:// weights may lie in. */
  readonly allowedDirs: readonly string[];
  readonly builtin: Builtin;
  /** Never ask the hub; default false. */
  readonly offline?: boolean;
  /** Free bytes on the store's disk; default: what the disk says. */
  readonly freeBytes?: () => Promise<number>;
}

export function createWeights(options: WeightsOptions): Weights {
  const deps = {
    hub: {
      endpoint: options.hubEndpoint.replace(/\/+$/, ""),
      client: options.client,
      offline: options.offline ?? false,
    },
    cache: openCache(options.cacheDir, options.cacheMaxBytes, options.freeBytes),
    allowedDirs: options.allowedDirs,
    builtin: options.builtin,
    builtinFacts: new Map<string, WeightsFacts>(),
  };
  return {
    resolve: (ctx, input) => resolveWeights(ctx, deps, input),
    ensure: (ctx, input) => ensureWeights(ctx, deps, input),
  };
}
