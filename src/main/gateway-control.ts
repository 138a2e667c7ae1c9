/** The gateway's view of the domains: what it looks up, what it leases, where its usage goes. */
import type { Clock } from "../base/clock.ts";
import type { SecretBox } from "../base/seal.ts";
import { budgetSubjects, closeSlice, ingestUsage, leaseSlice } from "../billing/index.ts";
import { findPublished, listPublished, type Published } from "../catalog/index.ts";
import type { DbCtx } from "../db/db.ts";
import type {
  GatewayControl,
  GatewayKey,
  GatewayRoute,
  GatewayUsage,
  PublishedOffer,
} from "../gateway/index.ts";
import { disabledAmong, findInferenceKey, noteKeyUses } from "../identity/index.ts";
import { loadRoutes, type RouteQuery } from "../models/index.ts";
import { addServed } from "../observability/index.ts";

/** The catalogue is short and asked for by everybody: one reading serves for a moment. */
const CATALOGUE_FRESH_MS = 2_000;
const CATALOGUE_MAX = 1_000;

export interface ControlDeps {
  readonly ctx: DbCtx;
  readonly box: SecretBox;
  readonly gatewayId: string;
  readonly currency: string;
  onChange(listener: (what: string) => void): () => void;
}

export function gatewayControl(deps: ControlDeps): GatewayControl {
  const { ctx, gatewayId, currency } = deps;
  const routes = async (query: RouteQuery): Promise<readonly GatewayRoute[]> => {
    const found = await loadRoutes(ctx, { box: deps.box }, query);
    const disabled = await disabledAmong(ctx, [...new Set(found.map((route) => route.ownerId))]);
    return found.map((route) => ({ ...route, ownerDisabled: disabled.has(route.ownerId) }));
  };
  const offers = remembered(ctx.clock, () => listPublished(ctx, { limit: CATALOGUE_MAX }));
  return {
    routesByModelId: (modelIds) => routes({ modelIds }),
    routesByServedName: async (names) => {
      const [own, published] = await Promise.all([routes({ servedNames: names }), findPublished(ctx, names)]);
      return [...own, ...(await publishedRoutes(published, routes))];
    },
    routesOfOwner: (userId) => routes({ ownerIds: [userId] }),
    published: async () => (await offers()).map(offerOf),
    keyByHash: (hash) => keyByHash(ctx, hash),
    leaseSlice: (wanted) => leaseSlice(ctx, { ...wanted, gatewayId, currency, now: ctx.clock.now() }),
    closeSlice: (sliceId) => closeSlice(ctx, { gatewayId, sliceId, now: ctx.clock.now() }),
    shipUsage: (records) => ship(ctx, records),
    onChange: deps.onChange,
  };
}

/** A key with what of its user's is bounded by budgets: the gateway keeps money for that apart. */
async function keyByHash(ctx: DbCtx, hash: Buffer): Promise<GatewayKey | undefined> {
  const key = await findInferenceKey(ctx, hash);
  const bounded = key ? await budgetSubjects(ctx, key.userId) : [];
  if (!key || bounded.length === 0) return key;
  return { ...key, budgets: new Set(bounded.map(({ kind, subject }) => `${kind}:${subject}`)) };
}

type Routes = (query: RouteQuery) => Promise<readonly GatewayRoute[]>;

/** A catalogue name leads to its model's replicas, under the catalogue's own price and limits. */
async function publishedRoutes(
  published: readonly Published[],
  routes: Routes,
): Promise<readonly GatewayRoute[]> {
  if (published.length === 0) return [];
  const found = await routes({ modelIds: published.map((offer) => offer.modelId) });
  return published.flatMap((offer) => {
    const route = found.find((one) => one.modelId === offer.modelId);
    return route ? [{ ...route, published: offerOf(offer) }] : [];
  });
}

function offerOf(published: Published): PublishedOffer {
  const { servedName, modelId, price, limits } = published;
  return { servedName, modelId, price, limits };
}

async function ship(ctx: DbCtx, records: readonly GatewayUsage[]): Promise<void> {
  await ingestUsage(ctx, records, addServed);
  const uses = records.flatMap(({ keyId, endedAt }) => (keyId === null ? [] : [{ keyId, at: endedAt }]));
  // Telling when a key was last used is a courtesy: usage that is in the ledger must not be shipped again for it.
  await noteKeyUses(ctx, uses).catch((error: unknown) =>
    ctx.log.debug({ err: error }, "key uses were not noted"),
  );
}

function remembered<T>(clock: Clock, load: () => Promise<T>): () => Promise<T> {
  let last: { readonly at: number; readonly value: Promise<T> } | undefined;
  return () => {
    const now = clock.monotonicMs();
    if (last && now - last.at < CATALOGUE_FRESH_MS) return last.value;
    const value = load();
    last = { at: now, value };
    value.catch(() => {
      last = undefined;
    });
    return value;
  };
}
