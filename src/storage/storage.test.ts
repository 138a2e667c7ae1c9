/** External storage over REST, with a place whose disk is a map: what may be there, what goes, and what its owner is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { modelFixture } from "../../test/support/models.ts";
import { restEdge } from "../../test/support/rest-edge.ts";
import { systemClock } from "../base/clock.ts";
import { createAccessToken } from "../identity/index.ts";
import { deleteModel, type ModelStorage, pauseModel, resumeModel } from "../models/index.ts";
import type { DriverStorage, StorageRule, StoredPart } from "../providers/driver.ts";
import * as edge from "../rpc/index.ts";
import { type FullNews, type StorageDeps, storagePartOf, storageRoutes, sweepStorage } from "./index.ts";

const TIERS = { BRONZE: 1_000, SILVER: 2_000, GOLD: 0 };
const DAY_MS = 24 * 3_600_000;

/** A place with these parts on its disk, that takes away what rules name and remembers them. */
function place() {
  const parts: StoredPart[] = [];
  const state = { rules: [] as readonly StorageRule[], evicted: 0 };
  const storage: DriverStorage = {
    list: async () => [...parts],
    async trim(_ctx, rules) {
      state.rules = rules;
      const stays = ({ bucketId, modelId }: StoredPart) =>
        rules.some(
          (rule) => rule.bucketId === bucketId && rule.limitBytes > 0 && rule.modelIds.includes(modelId),
        );
      parts.splice(0, parts.length, ...parts.filter(stays));
      return new Map(rules.map((rule) => [rule.bucketId, state.evicted]));
    },
  };
  return { parts, state, storage };
}

async function setup(t: Cleanup) {
  const disk = place();
  const news: FullNews[] = [];
  const partOf: ModelStorage["partOf"] = (ctx, model) => storagePartOf(ctx, { tiers: TIERS }, model);
  const f = await modelFixture(t, { deps: { storage: { partOf } } });
  const driver = { ...f.local, storage: disk.storage };
  const deps: StorageDeps = {
    tiers: TIERS,
    drivers: [driver],
    full: async (_tx, one) => void news.push(one),
  };
  // Deadlines of calls are real ones: only what is stored has the fixture's time.
  const ctx = { ...f.ctx, clock: { ...systemClock, now: f.ctx.clock.now } };
  const { call } = restEdge(t, ctx, [storageRoutes({ db: f.ctx.db, edge, storage: deps })]);
  const tokenOf = async ({ userId }: { readonly userId: string }) =>
    createAccessToken(f.ctx, { userId, name: "t", scopes: [], expiresAt: null });
  const [owner, other, admin] = [await tokenOf(f.owner), await tokenOf(f.other), await tokenOf(f.admin)];
  const part = (bucketId: string, modelId: string, bytes = 100): StoredPart => ({
    ...{ bucketId, modelId, bytes, states: 1 },
    lastUsedAt: f.clock.now(),
  });
  const create = async (tier = "STORAGE_TIER_BRONZE") =>
    String((await call(owner, "POST", "/v1/storage", { tier })).body.storage?.storageId);
  return { f, deps, disk, news, call, owner, other, admin, part, create };
}

test("a bucket's life: made once, shown, resized, deleted, made anew as another", async (t) => {
  const { call, owner, f } = await setup(t);
  assert.equal((await call(owner, "GET", "/v1/storage")).reason, "STORAGE_NOT_FOUND");
  const made = await call(owner, "POST", "/v1/storage", { tier: "STORAGE_TIER_BRONZE" });
  const { storageId, createdAt, updatedAt, ...rest } = made.body.storage ?? {};
  assert.ok(storageId && createdAt && updatedAt);
  assert.deepEqual(rest, {
    userId: f.owner.userId,
    tier: "STORAGE_TIER_BRONZE",
    limitBytes: "1000",
    usedBytes: "0",
    promptCount: "0",
    retentionDays: 30,
    observedAt: null,
  });
  const again = await call(owner, "POST", "/v1/storage", { tier: "STORAGE_TIER_BRONZE" });
  assert.deepEqual([again.status, again.reason], [409, "STORAGE_EXISTS"]);
  const larger = await call(owner, "PATCH", "/v1/storage", { tier: "STORAGE_TIER_SILVER", retentionDays: 7 });
  assert.equal(String(larger.body.storage?.limitBytes), "2000");
  assert.equal(Number(larger.body.storage?.retentionDays), 7);
  const same = await call(owner, "PATCH", "/v1/storage", {});
  assert.equal(String(same.body.storage?.tier), "STORAGE_TIER_SILVER");
  assert.deepEqual((await call(owner, "DELETE", "/v1/storage")).body, { empty: {} });
  assert.equal((await call(owner, "DELETE", "/v1/storage")).reason, "STORAGE_NOT_FOUND");
  const anew = await call(owner, "POST", "/v1/storage", { tier: "STORAGE_TIER_BRONZE" });
  assert.notEqual(anew.body.storage?.storageId, storageId);
});

test("a tier that is not offered is refused by name, and no tier at all by the contract", async (t) => {
  const { call, owner } = await setup(t);
  const gold = await call(owner, "POST", "/v1/storage", { tier: "STORAGE_TIER_GOLD" });
  assert.equal(gold.reason, "STORAGE_UNAVAILABLE");
  assert.match(String(gold.body.message), /BRONZE or SILVER/);
  assert.equal((await call(owner, "POST", "/v1/storage", {})).status, 400);
  const { body } = await call(owner, "GET", "/v1/storage/tiers");
  assert.deepEqual(body.tiers, [
    { tier: "STORAGE_TIER_BRONZE", limitBytes: "1000" },
    { tier: "STORAGE_TIER_SILVER", limitBytes: "2000" },
  ]);
});

test("a replica is handed its owner's bucket from its next start on, and not a detached model's or a deleted one", async (t) => {
  const { f, call, owner, create } = await setup(t);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  const lastSpec = () => f.local.machines.at(-1)?.spec.storage;
  const startAgain = async () => {
    const input = { principal: f.owner, modelId: model.id };
    await pauseModel(f.ctx, f.deps, input);
    await f.until(model.id, "PAUSED");
    await resumeModel(f.ctx, f.deps, input);
    await f.until(model.id, "RUNNING");
    return lastSpec();
  };
  assert.equal(lastSpec(), undefined);
  const bucketId = await create();
  assert.deepEqual(await startAgain(), { bucketId, modelId: model.id, limitBytes: 1_000 });
  const detached = await call(owner, "POST", `/v1/storage/models/${model.id}:detach`, {});
  assert.equal(Boolean(detached.body.model?.attached), false);
  assert.equal(await startAgain(), undefined);
  await call(owner, "POST", `/v1/storage/models/${model.id}:attach`, {});
  assert.equal((await startAgain())?.bucketId, bucketId);
  await call(owner, "DELETE", "/v1/storage");
  assert.equal(await startAgain(), undefined);
});

test("the sweep keeps what its owner's attached models have, and takes everything else away", async (t) => {
  const { f, deps, disk, call, owner, part, create } = await setup(t);
  const bucketId = await create();
  const { model: kept } = await f.deploy();
  const { model: out } = await f.deploy({ modelName: "out" });
  const { model: gone } = await f.deploy({ modelName: "gone" });
  await call(owner, "POST", `/v1/storage/models/${out.id}:detach`, {});
  await deleteModel(f.ctx, f.deps, { principal: f.owner, modelId: gone.id });
  const stray = f.ctx.random.uuid();
  disk.parts.push(part(bucketId, kept.id), part(bucketId, out.id), part(bucketId, gone.id));
  disk.parts.push(part(stray, kept.id), part(bucketId, stray));
  await sweepStorage(f.ctx, deps);
  const rules = new Map(disk.state.rules.map((rule) => [rule.bucketId, rule]));
  assert.deepEqual(rules.get(bucketId)?.modelIds, [kept.id]);
  assert.equal(rules.get(stray)?.limitBytes, 0);
  const usedSince = rules.get(bucketId)?.usedSince;
  assert.equal(usedSince?.getTime(), f.clock.now().getTime() - 30 * DAY_MS);
  const shown = (await call(owner, "GET", "/v1/storage")).body.storage;
  assert.deepEqual([String(shown?.usedBytes), String(shown?.promptCount)], ["100", "1"]);
  assert.ok(shown?.observedAt);
  await call(owner, "DELETE", "/v1/storage");
  await sweepStorage(f.ctx, deps);
  assert.deepEqual(disk.parts, []);
});

test("another user's bucket never holds a model that is not that user's", async (t) => {
  const { f, deps, disk, call, other, part } = await setup(t);
  const made = await call(other, "POST", "/v1/storage", { tier: "STORAGE_TIER_BRONZE" });
  const { model } = await f.deploy();
  disk.parts.push(part(String(made.body.storage?.storageId), model.id));
  await sweepStorage(f.ctx, deps);
  assert.deepEqual(disk.parts, []);
});

test("the list shows each model with what it keeps, in pages", async (t) => {
  const { f, deps, disk, call, owner, part, create } = await setup(t);
  const bucketId = await create();
  const { model: first } = await f.deploy();
  f.clock.advance(1_000);
  const { model: second } = await f.deploy({ modelName: "without", kvCacheEnabled: false });
  disk.parts.push(part(bucketId, first.id, 300));
  await sweepStorage(f.ctx, deps);
  const page = await call(owner, "GET", "/v1/storage/models?pageSize=1");
  const rest = await call(owner, "GET", `/v1/storage/models?pageSize=1&pageToken=${page.body.nextPageToken}`);
  const rows = [page, rest].map(({ body }) => body.models?.[0]);
  assert.deepEqual(
    rows.map((row) => [String(row?.modelId), Boolean(row?.attached), String(row?.usedBytes)]),
    [
      [second.id, false, "0"],
      [first.id, true, "300"],
    ],
  );
  assert.equal(String(rest.body.nextPageToken), "");
});

test("a full bucket is told once, and again only after there was room", async (t) => {
  const { f, deps, disk, news, part, create } = await setup(t);
  const bucketId = await create();
  const { model } = await f.deploy();
  const sweepWith = async (bytes: number, evicted: number) => {
    disk.parts.splice(0, disk.parts.length, part(bucketId, model.id, bytes));
    disk.state.evicted = evicted;
    await sweepStorage(f.ctx, deps);
  };
  await sweepWith(1_000, 50);
  await sweepWith(1_000, 50);
  await sweepWith(900, 0);
  await sweepWith(1_000, 50);
  assert.deepEqual(news, [{ userId: f.owner.userId, storageId: bucketId, limitBytes: 1_000 }]);
  await sweepWith(500, 0);
  await sweepWith(1_000, 50);
  assert.equal(news.length, 2);
});

test("a place that can't be looked at keeps what is known of it", async (t) => {
  const { f, deps, disk, call, owner, part, create } = await setup(t);
  const bucketId = await create();
  const { model } = await f.deploy();
  disk.parts.push(part(bucketId, model.id));
  await sweepStorage(f.ctx, deps);
  const storage: DriverStorage = { ...disk.storage, list: () => Promise.reject(new Error("no disk")) };
  await sweepStorage(f.ctx, { ...deps, drivers: [{ ...f.local, storage }] });
  assert.equal(String((await call(owner, "GET", "/v1/storage")).body.storage?.usedBytes), "100");
});
