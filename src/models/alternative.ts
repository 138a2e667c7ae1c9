/**
 * The cheapest deploy of the same weights that would work, where the asked one does not: over every place, hardware and count that
 * is offered, with a shorter context where only that helps, and with fewer replicas where only that can be paid. The candidates are
 * pure; which can be paid is asked, the cheapest first.
 */
import type { Engine, WeightsFacts } from "../engines/engine.ts";
import type { Deploy } from "./parse-deploy.ts";
import { type Candidate, candidates, type Offer, type Possible } from "./place.ts";

/** One deploy that would fit somewhere. */
export interface Option {
  readonly chosen: Possible;
  readonly replicas: number;
  /** Undefined: as asked. */
  readonly contextTokens: number | undefined;
}

/** A field that differs from what was asked; the value as a person reads it. */
export interface Change {
  readonly field: string;
  readonly value: string;
}

/** What every engine calls the context. */
const CONTEXT_KEY = "contextTokens";
/** A shorter context serves no chat. */
const CONTEXT_MIN = 1_024;
/** Counts that are tried where a place sells every one. */
const USUAL_COUNTS = [1, 2, 4, 8, 16] as const;
/** Bounds the work where an operator has very many places. */
const OFFERS_MAX = 500;

/** Everything that would fit, what was asked for in replicas first, then the cheapest, then what has room now. */
export function options(
  offers: readonly Offer[],
  deploy: Deploy,
  facts: WeightsFacts,
  engines: readonly Engine[],
): readonly Option[] {
  const fitting = offers
    .slice(0, OFFERS_MAX)
    .flatMap((offer) =>
      countsOf(offer, deploy).map((gpuCount) => fitAt(offer, gpuCount, deploy, facts, engines)),
    )
    .filter((option) => option !== undefined);
  const replicas = deploy.replicas > 1 ? [deploy.replicas, 1] : [1];
  return replicas.flatMap((count) => fitting.map((one) => ({ ...one, replicas: count })).sort(compare));
}

function countsOf(offer: Offer, { wanted }: Deploy): readonly number[] {
  if (offer.gpuType === "UNSPECIFIED") return [0];
  const counts = offer.gpuCounts ?? [...new Set([...USUAL_COUNTS, wanted.gpuCount, offer.gpuCountMax])];
  return counts.filter((count) => count >= 1 && count <= offer.gpuCountMax);
}

function fitAt(
  offer: Offer,
  gpuCount: number,
  deploy: Deploy,
  facts: WeightsFacts,
  engines: readonly Engine[],
): Omit<Option, "replicas"> | undefined {
  const { provider, region, gpuType } = offer;
  const { spot } = deploy.wanted;
  const wanted = { provider, region, gpuType, gpuCount, nodeId: "", ...(spot ? { spot } : {}) };
  const judge = (modelSpec: unknown): Candidate | undefined => {
    const { kvCacheEnabled, cpuOffloadingEnabled } = deploy;
    const switches = { kvCacheEnabled, cpuOffloadingEnabled };
    return candidates([offer], { wanted, weights: facts, switches, modelSpec }, engines)[0];
  };
  const asked = judge(deploy.modelSpec);
  if (asked?.possible) return { chosen: asked, contextTokens: undefined };
  const tokens = asked?.fit?.contextMaxTokens ?? 0;
  if (tokens < CONTEXT_MIN) return undefined;
  const shorter = judge({ ...specOf(deploy.modelSpec), [CONTEXT_KEY]: tokens });
  return shorter?.possible ? { chosen: shorter, contextTokens: tokens } : undefined;
}

function specOf(modelSpec: unknown): object {
  return typeof modelSpec === "object" && modelSpec !== null ? modelSpec : {};
}

function compare(a: Option, b: Option): number {
  const price = perHour(a.chosen) - perHour(b.chosen);
  if (price !== 0n) return price < 0n ? -1 : 1;
  const isFull = (one: Option) => Number(one.chosen.room === "none");
  const isShort = (one: Option) => Number(one.contextTokens !== undefined);
  return isShort(a) - isShort(b) || isFull(a) - isFull(b);
}

function perHour({ place, price }: Possible): bigint {
  return price.nanosPerHour * BigInt(Math.max(1, place.gpuCount));
}

/** What of the request would have to be otherwise. */
export function changesOf({ wanted, replicas: asked }: Deploy, option: Option): readonly Change[] {
  const { place } = option.chosen;
  const changes: Change[] = [];
  const differs = (field: string, value: string, isOther: boolean) => {
    if (isOther) changes.push({ field, value });
  };
  const otherPlace =
    (wanted.provider !== undefined && wanted.provider !== place.provider) ||
    (wanted.region !== undefined && wanted.region !== place.region);
  differs("infra", `${place.provider}/${place.region}`, otherPlace);
  differs("gpu_type", place.gpuType, wanted.gpuType !== place.gpuType && wanted.gpuType !== "UNSPECIFIED");
  differs("gpu_count", String(place.gpuCount), wanted.gpuCount !== place.gpuCount);
  differs("node_id", "", wanted.nodeId !== "");
  differs("replicas", String(option.replicas), asked !== option.replicas);
  const { contextTokens } = option;
  differs(`model_spec.${CONTEXT_KEY}`, String(contextTokens), contextTokens !== undefined);
  return changes;
}
