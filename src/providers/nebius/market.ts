/** What the project may have of each GPU type: from its platforms and quotas, looked up at most once a minute. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { Kind, Size } from "./presets.ts";
import type { NebiusApi } from "./rpc.ts";

export interface Available {
  readonly kind: Kind;
  /** The sizes that the project's platform really has. */
  readonly sizes: readonly Size[];
  /** Undefined where the project has no such platform. */
  readonly platform: string | undefined;
  /** Of this type's GPUs; undefined where it can't be seen, or is none. */
  readonly quota: { readonly max: number; readonly used: number } | undefined;
}

/** Preflights come in bursts, quotas change slowly, and the create call is the truth. */
const FRESH_MS = 60_000;

export type Market = (ctx: BaseCtx) => Promise<readonly Available[]>;

export function market(api: NebiusApi, kinds: readonly Kind[]): Market {
  let known: { readonly untilMs: number; readonly found: readonly Available[] } | undefined;
  return async (ctx) => {
    if (known && known.untilMs > ctx.clock.monotonicMs()) return known.found;
    const { projectId } = await api.cluster(ctx);
    const platforms = await api.platforms(ctx, projectId);
    const found = await Promise.all(
      kinds.map(async (kind): Promise<Available> => {
        const platform = platforms.find((one) => one.name === kind.platform);
        if (!platform) return { kind, sizes: [], platform: undefined, quota: undefined };
        const sizes = kind.sizes.filter((size) => platform.presets.includes(size.preset));
        const quota = platform.quota === "" ? undefined : await quotaOf(ctx, api, projectId, platform.quota);
        return { kind, sizes, platform: platform.name, quota };
      }),
    );
    known = { untilMs: ctx.clock.monotonicMs() + FRESH_MS, found };
    return found;
  };
}

/** An account that may not see quotas still may use them. */
async function quotaOf(
  ctx: BaseCtx,
  api: NebiusApi,
  projectId: string,
  name: string,
): Promise<Available["quota"]> {
  const quota = await api.quota(ctx, projectId, name).catch((error: unknown) => {
    if (ctx.signal?.aborted) throw error;
    return undefined;
  });
  return quota?.limit === undefined ? undefined : { max: quota.limit, used: quota.used };
}
