import { cutPage, type Page, timeAndId } from "../../base/page.ts";
import type { DbCtx } from "../../db/db.ts";
import type { GpuType } from "../../engines/engine.ts";
import type { GpuPriceVersion, Provider, TokenPriceVersion } from "./model.ts";
import {
  selectGpuPrices,
  selectGpuPriceVersions,
  selectTokenPrices,
  selectTokenPriceVersions,
  type VersionCursor,
} from "./store.ts";

/** The public lists have no pages; what a price list may hold before the answer would grow without bound. */
const LIST_MAX = 5_000;

/** The GPU price list; provider and type narrow it. */
export function listGpuPrices(
  ctx: DbCtx,
  input: { provider?: Provider; gpuType?: GpuType; activeOnly: boolean },
): Promise<readonly GpuPriceVersion[]> {
  return selectGpuPrices(ctx, { ...input, at: ctx.clock.now(), limit: LIST_MAX });
}

/** The token price list; "" = every model. */
export function listTokenPrices(
  ctx: DbCtx,
  input: { servedName: string; activeOnly: boolean },
): Promise<readonly TokenPriceVersion[]> {
  return selectTokenPrices(ctx, { ...input, at: ctx.clock.now(), limit: LIST_MAX });
}

/** What a page token of the GPU versions is bound to. */
export const GPU_VERSIONS_QUERY = "gpu-price-versions";

export async function listGpuPriceVersions(ctx: DbCtx, page: Page) {
  const input = { after: cursorOf(page), at: ctx.clock.now(), limit: page.size + 1 };
  return cutPage(await selectGpuPriceVersions(ctx, input), page, GPU_VERSIONS_QUERY, positionOf);
}

/** What a page token of the token price versions is bound to. */
export function tokenVersionsQuery(servedName: string): string {
  return `token-price-versions ${servedName}`;
}

export async function listTokenPriceVersions(ctx: DbCtx, servedName: string, page: Page) {
  const input = { servedName, after: cursorOf(page), at: ctx.clock.now(), limit: page.size + 1 };
  const rows = await selectTokenPriceVersions(ctx, input);
  return cutPage(rows, page, tokenVersionsQuery(servedName), positionOf);
}

function positionOf(price: { validFrom: Date; versionId: string }): readonly string[] {
  return [price.validFrom.toISOString(), price.versionId];
}

function cursorOf(page: Page): VersionCursor | undefined {
  const after = timeAndId(page);
  return after && { validFrom: after.at, versionId: after.id };
}
