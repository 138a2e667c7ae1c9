import type { DbCtx } from "../../db/db.ts";
import type { GpuType } from "../../engines/engine.ts";
import type { GpuPrice, Provider, TokenPriceVersion } from "./model.ts";
import { selectGpuPrice, selectTokenPrice } from "./store.ts";

/** The price in force at `at`: of the region where it has one, else of the provider. Undefined: nothing can be run there. */
export function gpuPrice(
  ctx: DbCtx,
  input: { provider: Provider; region: string; gpuType: GpuType; at: Date },
): Promise<GpuPrice | undefined> {
  return selectGpuPrice(ctx, input);
}

/** The token prices in force at `at` for a served name. */
export function tokenPrice(
  ctx: DbCtx,
  input: { servedName: string; at: Date },
): Promise<TokenPriceVersion | undefined> {
  return selectTokenPrice(ctx, input.servedName, input.at);
}
