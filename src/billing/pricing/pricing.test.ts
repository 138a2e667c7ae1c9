import assert from "node:assert/strict";
import { test } from "node:test";
import { CURRENCY, fixture, units } from "../../../test/support/billing.ts";
import { parsePage } from "../../base/page.ts";
import {
  gpuPrice,
  type NewGpuPrice,
  removeGpuPrice,
  removeTokenPrice,
  setGpuPrice,
  setTokenPrice,
  tokenPrice,
} from "../index.ts";
import { gpuVersionsQuery, listGpuPrices, listGpuPriceVersions } from "./index.ts";

const HOUR = 3_600_000;
const A100: NewGpuPrice = {
  provider: "NEBIUS",
  region: "",
  gpuType: "A100",
  currency: CURRENCY,
  nanosPerHour: units(2),
  validFrom: null,
};
const at = (date: Date) => ({ provider: "NEBIUS", region: "eu-north1", gpuType: "A100", at: date }) as const;

test("a version takes over at its moment and the past keeps its price", async (t) => {
  const f = await fixture(t);
  const first = await setGpuPrice(f.ctx, A100);
  const later = new Date(f.now().getTime() + HOUR);
  const second = await setGpuPrice(f.ctx, { ...A100, nanosPerHour: units(3), validFrom: later });
  assert.equal((await gpuPrice(f.ctx, at(f.now())))?.versionId, first.versionId);
  assert.equal((await gpuPrice(f.ctx, at(later)))?.versionId, second.versionId);
  assert.equal((await gpuPrice(f.ctx, at(new Date(later.getTime() - 1))))?.versionId, first.versionId);
  assert.equal(await gpuPrice(f.ctx, at(new Date(f.now().getTime() - 1))), undefined);
});

test("a region's own price goes before the provider's", async (t) => {
  const f = await fixture(t);
  const own = await setGpuPrice(f.ctx, { ...A100, region: "eu-north1", nanosPerHour: units(5) });
  f.advance(1);
  const any = await setGpuPrice(f.ctx, A100);
  assert.equal((await gpuPrice(f.ctx, at(f.now())))?.versionId, own.versionId);
  assert.equal((await gpuPrice(f.ctx, { ...at(f.now()), region: "us" }))?.versionId, any.versionId);
  assert.equal(await gpuPrice(f.ctx, { ...at(f.now()), gpuType: "H100" }), undefined);
});

test("two versions can't begin at one moment, and none in the past", async (t) => {
  const f = await fixture(t);
  await setGpuPrice(f.ctx, A100);
  await assert.rejects(setGpuPrice(f.ctx, A100), { reason: "PRICE_CONFLICT", code: "ALREADY_EXISTS" });
  const past = new Date(f.now().getTime() - 1);
  await assert.rejects(setGpuPrice(f.ctx, { ...A100, validFrom: past }), { reason: "INVALID_FIELD" });
});

test("a price is in the installation's currency and within bounds; all that is wrong is told at once", async (t) => {
  const f = await fixture(t);
  await assert.rejects(setGpuPrice(f.ctx, { ...A100, currency: "EUR" }), { reason: "CURRENCY_MISMATCH" });
  await assert.rejects(setGpuPrice(f.ctx, { ...A100, nanosPerHour: units(2_000_000) }), {
    reason: "AMOUNT_INVALID",
  });
  const token = {
    ...{ servedName: "m", currency: "EUR", validFrom: new Date(0) },
    inputNanosPerMillion: -1n,
    ...{ cachedNanosPerMillion: 0n, outputNanosPerMillion: 0n },
  };
  await assert.rejects(setTokenPrice(f.ctx, token), (error: { violations: unknown[] }) => {
    assert.equal(error.violations.length, 3);
    return true;
  });
});

test("token prices are versions of a served name", async (t) => {
  const f = await fixture(t);
  const prices = { inputNanosPerMillion: 1n, cachedNanosPerMillion: 0n, outputNanosPerMillion: 2n };
  const first = await setTokenPrice(f.ctx, {
    servedName: "m",
    currency: CURRENCY,
    ...prices,
    validFrom: null,
  });
  await assert.rejects(
    setTokenPrice(f.ctx, { servedName: "m", currency: CURRENCY, ...prices, validFrom: null }),
    {
      reason: "PRICE_CONFLICT",
    },
  );
  assert.equal((await tokenPrice(f.ctx, { servedName: "m", at: f.now() }))?.versionId, first.versionId);
  assert.equal(await tokenPrice(f.ctx, { servedName: "n", at: f.now() }), undefined);
});

test("lists tell what is in force, and versions are paged newest first", async (t) => {
  const f = await fixture(t);
  for (const hours of [0, 1, 2]) {
    const validFrom = new Date(f.now().getTime() + hours * HOUR);
    await setGpuPrice(f.ctx, { ...A100, nanosPerHour: units(hours + 1), validFrom });
  }
  f.advance(HOUR);
  const active = await listGpuPrices(f.ctx, { activeOnly: true });
  assert.deepEqual(
    active.map((price) => price.nanosPerHour),
    [units(2)],
  );
  assert.equal((await listGpuPrices(f.ctx, { activeOnly: false, provider: "LAMBDA" })).length, 0);
  const seen: bigint[] = [];
  let pageToken = "";
  do {
    const page = parsePage({ pageSize: 2, pageToken }, gpuVersionsQuery(false));
    const answer = await listGpuPriceVersions(f.ctx, page);
    seen.push(...answer.rows.map((price) => price.nanosPerHour));
    pageToken = answer.nextPageToken;
  } while (pageToken !== "");
  assert.deepEqual(seen, [units(3), units(2), units(1)]);
});

test("versions to come are listed apart, and none of them touches what holds now", async (t) => {
  const f = await fixture(t);
  await setGpuPrice(f.ctx, { ...A100, nanosPerHour: units(1), validFrom: null });
  await setGpuPrice(f.ctx, {
    ...A100,
    nanosPerHour: units(2),
    validFrom: new Date(f.now().getTime() + HOUR),
  });
  const upcoming = async () => {
    const page = parsePage({ pageSize: 0, pageToken: "" }, gpuVersionsQuery(true));
    return (await listGpuPriceVersions(f.ctx, page, true)).rows.map((price) => price.nanosPerHour);
  };
  assert.deepEqual(await upcoming(), [units(2)]);
  const now = { ...A100, at: f.now() };
  assert.equal((await gpuPrice(f.ctx, now))?.nanosPerHour, units(1));
  f.advance(HOUR);
  assert.deepEqual(await upcoming(), []);
  assert.equal((await gpuPrice(f.ctx, { ...A100, at: f.now() }))?.nanosPerHour, units(2));
});

test("a price that ends is none from then on; the region's gives way to its provider's, and one may begin again", async (t) => {
  const f = await fixture(t);
  const everywhere = { ...A100, region: "" };
  await setGpuPrice(f.ctx, { ...everywhere, nanosPerHour: units(5), validFrom: null });
  await setGpuPrice(f.ctx, { ...A100, region: "r", nanosPerHour: units(3), validFrom: null });
  const end = new Date(f.now().getTime() + HOUR);
  const ended = await removeGpuPrice(f.ctx, { ...A100, region: "r", validFrom: end });
  assert.deepEqual([ended.removed, ended.active], [true, false]);
  const at = async (when: Date) => (await gpuPrice(f.ctx, { ...A100, region: "r", at: when }))?.nanosPerHour;
  assert.equal(await at(f.now()), units(3));
  assert.equal(await at(end), units(5));
  await removeGpuPrice(f.ctx, { ...everywhere, validFrom: end });
  assert.equal(await at(end), undefined);
  await setGpuPrice(f.ctx, {
    ...A100,
    region: "r",
    nanosPerHour: units(4),
    validFrom: new Date(end.getTime() + HOUR),
  });
  assert.equal(await at(new Date(end.getTime() + HOUR)), units(4));
  f.advance(HOUR);
  const active = await listGpuPrices(f.ctx, { activeOnly: true });
  assert.deepEqual(active, [], "what ended is not in the price list");
});

test("what is no price can't end, nor in the past, nor twice", async (t) => {
  const f = await fixture(t);
  const { provider, region, gpuType } = A100;
  const place = { provider, region, gpuType, validFrom: null };
  await assert.rejects(removeGpuPrice(f.ctx, place), { reason: "PRICE_MISSING" });
  await setGpuPrice(f.ctx, { ...A100, nanosPerHour: units(1), validFrom: null });
  await assert.rejects(removeGpuPrice(f.ctx, place), { reason: "PRICE_CONFLICT" });
  await assert.rejects(removeGpuPrice(f.ctx, { ...place, validFrom: new Date(0) }), {
    reason: "INVALID_FIELD",
  });
  f.advance(1);
  await removeGpuPrice(f.ctx, place);
  f.advance(1);
  await assert.rejects(removeGpuPrice(f.ctx, place), { reason: "PRICE_MISSING" });
  await assert.rejects(removeTokenPrice(f.ctx, { servedName: "m", validFrom: null }), {
    reason: "PRICE_MISSING",
  });
  const prices = { inputNanosPerMillion: 1n, cachedNanosPerMillion: 0n, outputNanosPerMillion: 2n };
  await setTokenPrice(f.ctx, { servedName: "m", currency: CURRENCY, ...prices, validFrom: null });
  f.advance(1);
  await removeTokenPrice(f.ctx, { servedName: "m", validFrom: null });
  assert.equal(await tokenPrice(f.ctx, { servedName: "m", at: f.now() }), undefined);
});
