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
export function gpuVersionsQuery(upcomingOnly: boolean): string {
  return upcomingOnly ? "gpu-price-versions upcoming" : "gpu-price-versions";
}

/** One page of the versions, newest first; with `upcomingOnly` those that have not begun. */
export async function listGpuPriceVersions(ctx: DbCtx, page: Page, upcomingOnly = false) {
  const input = { after: cursorOf(page), upcomingOnly, at: ctx.clock.now(), limit: page.size + 1 };
  return cutPage(await selectGpuPriceVersions(ctx, input), page, gpuVersionsQuery(upcomingOnly), positionOf);
}

/** What a page token of the token price versions is bound to. */
export function tokenVersionsQuery(servedName: string, upcomingOnly = false): string {
  return `token-price-versions ${servedName}${upcomingOnly ? " upcoming" : ""}`;
}

/** As the GPU versions; "" = of every model. */
export async function listTokenPriceVersions(
  ctx: DbCtx,
  servedName: string,
  page: Page,
  upcomingOnly = false,
) {
  const now = ctx.clock.now();
  const input = { servedName, after: cursorOf(page), upcomingOnly, at: now, limit: page.size + 1 };
  const rows = await selectTokenPriceVersions(ctx, input);
  return cutPage(rows, page, tokenVersionsQuery(servedName, upcomingOnly), positionOf);
}

function positionOf(price: { validFrom: Date; versionId: string }): readonly string[] {
  return [price.validFrom.toISOString(), price.versionId];
}

function cursorOf(page: Page): VersionCursor | undefined {
  const after = timeAndId(page);
  return after && { validFrom: after.at, versionId: after.id };
}
