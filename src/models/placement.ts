/** Which of the possible places the next attempt of a slot goes to. Pure; what the owner allowed and agreed to pay bounds it. */
import type { ModelSpec, Place } from "./model.ts";
import type { Candidate, Possible } from "./place.ts";
import type { GpuPrice } from "./ports.ts";

/** How replicas of one model are laid out where several places are as good: all at the first, or over as many as there are. */
export type Layout = "pack" | "spread";

/** Most that a GPU hour may cost elsewhere; undefined: nobody agreed to anything, so there is no elsewhere. */
export type PriceBound = Pick<GpuPrice, "currency" | "nanosPerHour">;

/** What was agreed to: the price that was named when it was started, or more where the request allowed it. */
export function priceBoundOf({
  accepted,
  wanted,
}: Pick<ModelSpec, "accepted" | "wanted">): PriceBound | undefined {
  if (!accepted) return undefined;
  const { priceMax } = wanted;
  if (priceMax?.currency !== accepted.currency) return accepted;
  const allowed = BigInt(priceMax.nanosPerHour);
  return allowed > accepted.nanosPerHour ? { ...accepted, nanosPerHour: allowed } : accepted;
}

/**
 * The places that a slot may go to besides its own: possible, of the same hardware type and count (the model's name tells them), and
 * not above the bound. In the order of the candidates, which is the best first.
 */
export function elsewhere(
  candidates: readonly Candidate[],
  own: Place,
  bound: PriceBound | undefined,
): readonly Possible[] {
  return candidates.filter((one): one is Possible => {
    if (!one.possible || isSamePlace(one.place, own)) return one.possible;
    const sameKind = one.place.gpuType === own.gpuType && one.place.gpuCount === own.gpuCount;
    return sameKind && bound !== undefined && isWithin(one.price, bound);
  });
}

/** After a place had no room: the next one in order, the first again after the last. Undefined where there is no other. */
export function nextAfter(places: readonly Possible[], had: Place): Possible | undefined {
  const at = places.findIndex((one) => isSamePlace(one.place, had));
  const turned = [...places.slice(at + 1), ...places.slice(0, Math.max(0, at))];
  return turned.find((one) => !isSamePlace(one.place, had));
}

/** For a slot that starts afresh: the place with the fewest of the model's other replicas, the better of equals. */
export function leastTaken(places: readonly Possible[], taken: readonly Place[]): Possible | undefined {
  const count = (one: Possible) => taken.filter((place) => isSamePlace(place, one.place)).length;
  let least: Possible | undefined;
  for (const one of places) if (!least || count(one) < count(least)) least = one;
  return least;
}

/** One driver's region; a place that sells a type in several sizes of memory is one place. */
export function isSamePlace(a: Place, b: Place): boolean {
  return a.driver === b.driver && a.region === b.region && a.gpuType === b.gpuType;
}

function isWithin(price: GpuPrice, bound: PriceBound): boolean {
  return price.currency === bound.currency && price.nanosPerHour <= bound.nanosPerHour;
}
