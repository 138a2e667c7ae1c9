import assert from "node:assert/strict";
import { test } from "node:test";
import type { Place } from "./model.ts";
import type { Candidate, Possible } from "./place.ts";
import { elsewhere, leastTaken, nextAfter, priceBoundOf } from "./placement.ts";
import { aPossible } from "./testing/builders.ts";

const usd = (nanosPerHour: bigint) => ({ currency: "USD", nanosPerHour });
const [a, b, c] = [aPossible("a", 4n), aPossible("b", 4n), aPossible("c", 6n)] as const;
const all: readonly Candidate[] = [a, b, c];
const regions = (places: readonly Possible[]) => places.map(({ place }) => place.region);

test("elsewhere is what is possible, of the same kind, and no dearer than what was agreed to", () => {
  assert.deepEqual(regions(elsewhere(all, a.place, usd(4n))), ["a", "b"]);
  assert.deepEqual(regions(elsewhere(all, a.place, usd(6n))), ["a", "b", "c"]);
  assert.deepEqual(regions(elsewhere(all, a.place, { ...usd(6n), currency: "EUR" })), ["a"]);
  assert.deepEqual(regions(elsewhere(all, a.place, undefined)), ["a"], "who agreed to nothing stays");
  assert.deepEqual(
    regions(elsewhere(all, c.place, usd(4n))),
    ["a", "b", "c"],
    "its own stays, whatever it costs",
  );
  const other: Place = { ...b.place, gpuType: "A100" };
  assert.deepEqual(regions(elsewhere([a, { ...b, place: other }], a.place, usd(9n))), ["a"]);
});

test("after no room comes the next in order, and after the last the first", () => {
  const places = [a, b, c];
  assert.equal(nextAfter(places, a.place), b);
  assert.equal(nextAfter(places, c.place), a);
  assert.equal(nextAfter([b, c], a.place), b, "a place that is not offered any more is left for the first");
  assert.equal(nextAfter([a], a.place), undefined);
});

test("replicas that are spread go to the place with the fewest, the better of equals", () => {
  assert.equal(leastTaken([a, b], []), a);
  assert.equal(leastTaken([a, b], [a.place]), b);
  assert.equal(leastTaken([a, b], [a.place, b.place]), a);
});

test("what was agreed to is the named price, or more where the request allowed it", () => {
  const wanted = {
    provider: undefined,
    region: undefined,
    gpuType: "H100",
    gpuCount: 1,
    nodeId: "",
  } as const;
  const max = (nanosPerHour: string, currency = "USD") => ({
    ...wanted,
    priceMax: { currency, nanosPerHour },
  });
  const accepted = usd(4n);
  assert.deepEqual(priceBoundOf({ accepted, wanted }), usd(4n));
  assert.deepEqual(priceBoundOf({ accepted, wanted: max("6") }), usd(6n));
  assert.deepEqual(priceBoundOf({ accepted, wanted: max("3") }), usd(4n));
  assert.deepEqual(priceBoundOf({ accepted, wanted: max("6", "EUR") }), usd(4n));
  assert.equal(priceBoundOf({ accepted: null, wanted: max("6") }), undefined);
});
