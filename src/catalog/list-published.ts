import { listTokenPrices, tokenPrice } from "../billing/index.ts";
import type { DbCtx } from "../db/db.ts";
import type { CatalogEntry, OfferPrice, Published } from "./model.ts";
import { selectEntries, selectPage } from "./store.ts";

/** Prices of a few names are asked for one by one; above it the whole price list is read once. */
const FEW = 5;

/** The entries with these names; names that are not in the catalogue, or have no price in force, are left out. */
export async function findPublished(
  ctx: DbCtx,
  servedNames: readonly string[],
): Promise<readonly Published[]> {
  return priced(ctx, await selectEntries(ctx, servedNames));
}

/** Entries by name, after `after` ("" from the beginning). */
export async function listPublished(
  ctx: DbCtx,
  input: { readonly limit: number; readonly after?: string },
): Promise<readonly Published[]> {
  return priced(ctx, await selectPage(ctx, { after: input.after ?? "", limit: input.limit }));
}

async function priced(ctx: DbCtx, entries: readonly CatalogEntry[]): Promise<readonly Published[]> {
  const prices = await pricesOf(ctx, entries);
  return entries.flatMap((entry) => {
    const price = prices.get(entry.servedName);
    return price ? [{ ...entry, price }] : [];
  });
}

async function pricesOf(
  ctx: DbCtx,
  entries: readonly CatalogEntry[],
): Promise<ReadonlyMap<string, OfferPrice>> {
  if (entries.length > FEW) {
    const all = await listTokenPrices(ctx, { servedName: "", activeOnly: true });
    return new Map(all.map((price) => [price.servedName, price]));
  }
  const prices = new Map<string, OfferPrice>();
  for (const { servedName } of entries) {
    const price = await tokenPrice(ctx, { servedName, at: ctx.clock.now() });
    if (price) prices.set(servedName, price);
  }
  return prices;
}
