import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { CatalogService } from "../../gen/slipway/catalog/v1/catalog_service_pb.js";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { setTokenPrice } from "../billing/index.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import { listen } from "../db/listen.ts";
import { bootstrapAdmin, createUser, type Principal, type User } from "../identity/index.ts";
import type { Model, ModelSpec } from "../models/model.ts";
import { selectNewestEvents } from "../models/store/events.ts";
import { insertModel } from "../models/store/models.ts";
import { aModel } from "../models/testing/builders.ts";
import { catalogRoutes, findPublished, listPublished, type NewPrice, publish, unpublish } from "./index.ts";

const PRICE: NewPrice = {
  currency: "USD",
  inputNanosPerMillion: 100_000_000n,
  cachedNanosPerMillion: 0n,
  outputNanosPerMillion: 400_000_000n,
};
const LIMITS = { concurrencyMax: 0, outputTokensMax: 0 };

const SPEC: ModelSpec = {
  description: "",
  path: "builtin://tiny",
  wanted: { provider: "ONPREM", region: "local", gpuType: "UNSPECIFIED", gpuCount: 0, nodeId: "" },
  spec: {},
  kvCache: true,
  cpuOffloading: false,
  weights: {
    source: "builtin://tiny",
    revision: "",
    files: [],
    format: "gguf",
    sizeBytes: 1,
    architecture: "llama",
    layers: 1,
    embedding: 1,
    heads: 1,
    headsKv: 1,
    headSize: 1,
    contextMax: 1,
    vocabulary: 1,
  },
  hardware: { gpuType: "UNSPECIFIED", gpuCount: 0, gpuMemoryBytes: 0, cpuMemoryBytes: 1, cpuCount: 1 },
  plan: { engine: "llama.cpp", options: {}, contextTokens: 1, sequencesMax: 1, memoryBytes: 1 },
  apiKeySealed: Buffer.from("sealed"),
  apiKeyHash: Buffer.alloc(32),
  hfTokenSealed: null,
  accepted: null,
};

interface Setup {
  readonly ctx: DbCtx;
  readonly url: string;
  readonly admin: Principal;
  readonly owner: User;
  advance(ms: number): void;
  deploy(ownerId: string, change?: Partial<Model>): Promise<string>;
}

async function setup(t: Cleanup): Promise<Setup> {
  const { db, url } = await testDatabase(t);
  let now = Date.parse("2026-03-01T10:00:00Z");
  const clock: Clock = { ...systemClock, now: () => new Date(now) };
  const ctx: DbCtx = { db, clock, random: systemRandom, log: silentLog };
  const { userId } = await bootstrapAdmin(ctx, { name: "Root" });
  const admin: Principal = { userId, role: "SUPER_ADMIN", tokenId: "t", scopes: [] };
  const owner = await createUser(ctx, { displayName: "Ada" });
  return {
    ctx,
    url,
    admin,
    owner,
    advance: (ms) => {
      now += ms;
    },
    async deploy(ownerId, change = {}) {
      const id = systemRandom.uuid();
      const names = { name: id, servedName: `tiny-${id}` };
      const model = aModel({ id, deploymentId: systemRandom.uuid(), userId: ownerId, ...names, ...change });
      await withTransaction(ctx, (tx) => insertModel(tx, { model, spec: SPEC }));
      return id;
    },
  };
}

test("the platform's own deployment is published under a name, a price and limits", async (t) => {
  const { ctx, admin, deploy } = await setup(t);
  const modelId = await deploy(admin.userId);
  const limits = { concurrencyMax: 8, outputTokensMax: 512 };
  const made = await publish(ctx, {
    principal: admin,
    servedName: "org/small-chat",
    modelId,
    price: PRICE,
    limits,
    ownerAgreed: false,
  });
  const [found] = await findPublished(ctx, ["org/small-chat", "nothing"]);
  assert.deepEqual(found, made);
  assert.deepEqual([found?.modelId, found?.limits, found?.ownerAgreed], [modelId, limits, false]);
  const { versionId, currency, inputNanosPerMillion, cachedNanosPerMillion, outputNanosPerMillion } =
    made.price;
  assert.ok(versionId);
  assert.deepEqual({ currency, inputNanosPerMillion, cachedNanosPerMillion, outputNanosPerMillion }, PRICE);
});

test("another user's deployment needs that user's agreement, which its events tell", async (t) => {
  const { ctx, admin, owner, deploy } = await setup(t);
  const modelId = await deploy(owner.id);
  const input = { principal: admin, servedName: "shared", modelId, price: PRICE, limits: LIMITS };
  await assert.rejects(
    publish(ctx, { ...input, ownerAgreed: false }),
    (error: { violations: { field: string }[] }) => {
      assert.equal(error.violations[0]?.field, "owner_agreed");
      return true;
    },
  );
  assert.deepEqual(await listPublished(ctx, { limit: 10 }), []);
  await publish(ctx, { ...input, ownerAgreed: true });
  await publish(ctx, { ...input, ownerAgreed: true });
  await unpublish(ctx, { servedName: "shared" });
  const events = (await selectNewestEvents(ctx, [modelId], 10)).get(modelId) ?? [];
  assert.deepEqual(
    events.map((event) => event.log),
    [
      "Taken out of the catalogue as shared.",
      "Published in the catalogue as shared, with its owner's agreement.",
    ],
  );
});

test("a name leads to one deployment until it is unpublished", async (t) => {
  const { ctx, admin, deploy } = await setup(t);
  const [first, second] = [await deploy(admin.userId), await deploy(admin.userId)];
  const input = { principal: admin, servedName: "name", price: PRICE, limits: LIMITS, ownerAgreed: false };
  const racing = await Promise.allSettled([
    publish(ctx, { ...input, modelId: first }),
    publish(ctx, { ...input, modelId: second }),
  ]);
  assert.deepEqual(racing.map((one) => one.status).sort(), ["fulfilled", "rejected"]);
  const winner = racing[0]?.status === "fulfilled" ? first : second;
  const loser = winner === first ? second : first;
  await assert.rejects(publish(ctx, { ...input, modelId: loser }), {
    code: "ALREADY_EXISTS",
    reason: "SERVED_NAME_TAKEN",
  });
  await unpublish(ctx, { servedName: "name" });
  await assert.rejects(unpublish(ctx, { servedName: "name" }), { code: "NOT_FOUND" });
  await publish(ctx, { ...input, modelId: loser });
  assert.equal((await findPublished(ctx, ["name"]))[0]?.modelId, loser);
});

test("publishing again changes limits and prices; the same prices make no new version", async (t) => {
  const { ctx, admin, deploy, advance } = await setup(t);
  const modelId = await deploy(admin.userId);
  const input = {
    principal: admin,
    servedName: "name",
    modelId,
    price: PRICE,
    limits: LIMITS,
    ownerAgreed: false,
  };
  const first = await publish(ctx, input);
  advance(1_000);
  const same = await publish(ctx, { ...input, limits: { concurrencyMax: 2, outputTokensMax: 9 } });
  assert.equal(same.price.versionId, first.price.versionId);
  assert.deepEqual([same.limits.concurrencyMax, same.publishedAt], [2, first.publishedAt]);
  const dearer = await publish(ctx, { ...input, price: { ...PRICE, outputNanosPerMillion: 500_000_000n } });
  assert.notEqual(dearer.price.versionId, first.price.versionId);
  assert.equal((await findPublished(ctx, ["name"]))[0]?.price.outputNanosPerMillion, 500_000_000n);
});

test("a price that billing changes is the catalogue's, and a refused price publishes nothing", async (t) => {
  const { ctx, admin, deploy, advance } = await setup(t);
  const modelId = await deploy(admin.userId);
  const input = {
    principal: admin,
    servedName: "name",
    modelId,
    price: PRICE,
    limits: LIMITS,
    ownerAgreed: false,
  };
  await assert.rejects(publish(ctx, { ...input, price: { ...PRICE, currency: "XXX" } }), {
    reason: "CURRENCY_MISMATCH",
  });
  assert.deepEqual(await findPublished(ctx, ["name"]), []);
  await publish(ctx, input);
  advance(1_000);
  await setTokenPrice(ctx, { servedName: "name", ...PRICE, inputNanosPerMillion: 7n, validFrom: null });
  assert.equal((await findPublished(ctx, ["name"]))[0]?.price.inputNanosPerMillion, 7n);
});

test("only what exists is published", async (t) => {
  const { ctx, admin } = await setup(t);
  const input = { servedName: "name", price: PRICE, limits: LIMITS, ownerAgreed: true };
  const missing = { ...input, principal: admin, modelId: systemRandom.uuid() };
  await assert.rejects(publish(ctx, missing), { code: "NOT_FOUND", reason: "MODEL_NOT_FOUND" });
});

test("gateways hear of every change", async (t) => {
  const { ctx, url, admin, deploy } = await setup(t);
  const modelId = await deploy(admin.userId);
  const heard: string[] = [];
  const ready = Promise.withResolvers<void>();
  const stop = listen({
    url,
    channels: ["slipway_routes"],
    log: silentLog,
    clock: systemClock,
    onNotify: (_channel, payload) => heard.push(payload),
    onConnect: ready.resolve,
  });
  t.after(stop);
  await ready.promise;
  await publish(ctx, {
    principal: admin,
    servedName: "n",
    modelId,
    price: PRICE,
    limits: LIMITS,
    ownerAgreed: false,
  });
  await unpublish(ctx, { servedName: "n" });
  while (heard.length < 2) await systemClock.sleep(5);
  assert.deepEqual(heard, [`model:${modelId}`, `model:${modelId}`]);
});

/** The catalogue's service, called by `principal`. */
function clientOf(ctx: DbCtx, principal: Principal) {
  const edge = {
    principalOf: () => principal,
    ownerOf: () => principal.userId,
    ownerOrAllOf: () => principal.userId,
    ctxOf: () => ctx,
    idempotencyOf: () => undefined,
  };
  return createClient(CatalogService, createRouterTransport(catalogRoutes({ db: ctx.db, edge })));
}

test("everybody lists the catalogue page by page; the deployment behind an entry is for administrators", async (t) => {
  const { ctx, admin, owner, deploy } = await setup(t);
  const running = await deploy(admin.userId, { status: "RUNNING" });
  const loading = await deploy(admin.userId, { status: "LOADING" });
  const usd = (units: bigint, nanos: number) => ({ currencyCode: "USD", units, nanos });
  const prices = {
    inputPricePerMillion: usd(0n, 100_000_000),
    cachedPricePerMillion: usd(0n, 0),
    outputPricePerMillion: usd(1n, 500_000_000),
  };
  const asAdmin = clientOf(ctx, admin);
  for (const [servedName, modelId] of [
    ["b", running],
    ["a", loading],
    ["c", running],
  ] as const) {
    const { entry } = await asAdmin.publishModel({ servedName, modelId, ...prices });
    assert.deepEqual([entry?.modelId, entry?.available], [modelId, modelId === running]);
  }
  const asUser = clientOf(ctx, { userId: owner.id, role: "USER", tokenId: "t", scopes: [] });
  const first = await asUser.listCatalog({ pageSize: 2 });
  assert.deepEqual(
    first.entries.map((entry) => [entry.servedName, entry.available, entry.modelId]),
    [
      ["a", false, ""],
      ["b", true, ""],
    ],
  );
  assert.deepEqual(
    [first.entries[0]?.outputPricePerMillion?.units, first.entries[0]?.outputPricePerMillion?.nanos],
    [1n, 500_000_000],
  );
  const second = await asUser.listCatalog({ pageSize: 2, pageToken: first.nextPageToken });
  assert.deepEqual([second.entries.map((entry) => entry.servedName), second.nextPageToken], [["c"], ""]);
  assert.equal((await asAdmin.listCatalog({})).entries[1]?.modelId, running);
});
