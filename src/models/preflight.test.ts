import assert from "node:assert/strict";
import { test } from "node:test";
import { simEngine } from "../../test/sim/world.ts";
import { deployInput, modelFixture, NANOS_PER_HOUR } from "../../test/support/models.ts";
import { StatusError } from "../base/status.ts";
import { setGpuPrice } from "../billing/index.ts";
import { acceptTos } from "../identity/index.ts";
import type { Driver, RegionOffer } from "../providers/driver.ts";
import type { ModelsDeps } from "./ports.ts";
import { preflight } from "./preflight.ts";

const cpu: RegionOffer = {
  region: "local",
  reach: "direct",
  gpuType: "UNSPECIFIED",
  gpuCountMax: 0,
  gpuMemoryBytes: 0,
  cpuMemoryBytes: 2 ** 34,
  cpuCount: 2,
  nodeIds: [],
};
const h100: RegionOffer = { ...cpu, region: "us-east-1", gpuType: "H100", gpuCountMax: 8, nodeIds: ["n1"] };

function driver(name: string, provider: Driver["provider"], offers: readonly RegionOffer[]): Driver {
  return {
    name,
    provider,
    offers: async () => offers,
    apply: async () => {},
    observe: async () => [],
    remove: async () => {},
    list: async () => [],
    async *logs() {},
  };
}

const places = [
  driver("cloud", "LAMBDA", [h100, { ...h100, region: "us-west-1", gpuType: "A100" }]),
  driver("local", "ONPREM", [cpu]),
];

async function fixture(t: Parameters<typeof modelFixture>[0], deps: Partial<ModelsDeps> = {}) {
  const f = await modelFixture(t, { deps: { drivers: places, ...deps } });
  for (const [gpuType, nanosPerHour] of [
    ["H100", 4n * NANOS_PER_HOUR],
    ["A100", 2n * NANOS_PER_HOUR],
  ] as const) {
    await setGpuPrice(f.ctx, {
      provider: "LAMBDA",
      region: "",
      gpuType,
      currency: "USD",
      nanosPerHour,
      validFrom: null,
    });
  }
  const ask = (change: Partial<ReturnType<typeof deployInput>> = {}) =>
    preflight(f.ctx, f.deps, { ...deployInput(f.owner.userId), ...change });
  return { f, ask };
}

const reasons = (found: { problems: readonly StatusError[] }) =>
  found.problems.map((problem) => problem.reason);

test("what can be deployed has no problem, and the answer tells place, price, fit and time", async (t) => {
  const { ask } = await fixture(t);
  const found = await ask({ replicas: 2 });
  assert.deepEqual(reasons(found), []);
  assert.deepEqual(found.best?.place, {
    driver: "local",
    provider: "ONPREM",
    region: "local",
    gpuType: "UNSPECIFIED",
    gpuCount: 0,
    nodeId: "",
  });
  assert.equal(found.cost?.nanosPerHour, 2n * NANOS_PER_HOUR);
  assert.equal(found.cost?.holdNanos, NANOS_PER_HOUR / 2n);
  assert.ok((found.time?.readySeconds ?? 0) > 0);
});

test("a count without a type takes any type of the place, the cheaper first, and says which", async (t) => {
  const { ask } = await fixture(t);
  const found = await ask({ gpuCount: 2 });
  assert.deepEqual(reasons(found), []);
  assert.equal(found.best?.place.gpuType, "A100");
  assert.equal(found.cost?.nanosPerHour, 4n * NANOS_PER_HOUR);
  const others = found.candidates.filter((candidate) => !candidate.possible).map((one) => one.problem.reason);
  assert.deepEqual(others, ["GPU_TYPE_UNAVAILABLE"]);
});

test("more GPUs than the place has, an unknown node and a place without CPU replicas are told as such", async (t) => {
  const { ask } = await fixture(t);
  assert.deepEqual(reasons(await ask({ gpuCount: 9, gpuType: "H100" })), ["CAPACITY_SHORT"]);
  assert.deepEqual(reasons(await ask({ gpuCount: 1, gpuType: "H100", nodeId: "n2" })), ["NODE_NOT_FOUND"]);
  assert.deepEqual(reasons(await ask({ provider: "LAMBDA" })), ["GPU_TYPE_UNAVAILABLE"]);
  assert.deepEqual(reasons(await ask({ gpuCount: 1, gpuType: "B200" })), ["GPU_TYPE_UNAVAILABLE"]);
  assert.deepEqual(reasons(await ask({ regions: { LAMBDA: "mars-1" } })), ["PLACE_UNKNOWN"]);
});

test("a region whose replicas can't be reached is refused, and one by pinned TLS is not", async (t) => {
  const far = driver("far", "NEBIUS", [{ ...cpu, reach: "gateway" }]);
  const { f, ask } = await fixture(t, { drivers: [far] });
  const [problem] = (await ask()).problems;
  assert.equal(problem?.reason, "PLACE_UNAVAILABLE");
  assert.match(problem.message, /only from inside its cluster/);
  const pinned = { ...f.deps, drivers: [driver("pinned", "ONPREM", [{ ...cpu, reach: "tls" }])] };
  assert.deepEqual(reasons(await preflight(f.ctx, pinned, deployInput(f.owner.userId))), []);
});

test("a provider that does not answer is unavailable, not unknown", async (t) => {
  const silent = { ...driver("cloud", "LAMBDA", []), offers: async () => Promise.reject(new Error("down")) };
  const { ask } = await fixture(t, { drivers: [silent] });
  const [problem] = (await ask()).problems;
  assert.deepEqual([problem?.reason, problem?.code], ["PLACE_UNAVAILABLE", "UNAVAILABLE"]);
});

test("a place without a price is told as such", async (t) => {
  const { ask } = await fixture(t, { drivers: [driver("free", "YOTTA", [cpu])] });
  assert.deepEqual(reasons(await ask()), ["PRICE_MISSING"]);
});

test("a model that does not fit is told line by line, with the context that would", async (t) => {
  const fit = {
    fits: false,
    availableBytes: 2 ** 30,
    lines: [
      { item: "Weights", bytes: 3 * 2 ** 30 },
      { item: "KV cache", bytes: 2 ** 30 },
    ],
    contextMaxTokens: 0,
    contextTokens: 512,
  };
  const { ask } = await fixture(t, { engines: [{ ...simEngine, fit: () => fit }] });
  const found = await ask();
  assert.deepEqual(reasons(found), ["MODEL_TOO_LARGE"]);
  assert.match(found.problems[0]?.message ?? "", /Weights: 3\.00 GiB; KV cache: 1\.00 GiB/);
  assert.equal(found.problems[0]?.metadata.needed, String(4 * 2 ** 30));
  assert.equal(found.best?.possible === false && found.best.fit?.lines.length, 2);
});

test("weights that no engine serves are unsupported", async (t) => {
  const { ask } = await fixture(t, { engines: [{ ...simEngine, supports: () => false }] });
  assert.deepEqual(reasons(await ask()), ["WEIGHTS_UNSUPPORTED"]);
});

for (const reason of [
  "WEIGHTS_NOT_FOUND",
  "WEIGHTS_GATED",
  "HUB_TOKEN_INVALID",
  "HUB_UNREACHABLE",
] as const) {
  test(`${reason} is a problem of access, and the place is judged all the same`, async (t) => {
    const resolve = async () => {
      throw new StatusError({ code: "FAILED_PRECONDITION", reason, message: "no" });
    };
    const { ask } = await fixture(t, { weights: { resolve } });
    const found = await ask();
    assert.deepEqual(reasons(found), [reason]);
    assert.equal(found.access.ok, false);
    assert.equal(found.best?.possible, true);
    assert.equal(found.money?.ok, true);
  });
}

test("problems come in one order: name, access, place, money", async (t) => {
  const resolve = async () => {
    throw new StatusError({ code: "NOT_FOUND", reason: "WEIGHTS_NOT_FOUND", message: "no" });
  };
  const { f, ask } = await fixture(t);
  await f.deploy();
  const poor = { ...f.deps, weights: { resolve } };
  const found = await preflight(f.ctx, poor, {
    ...deployInput(f.owner.userId),
    gpuCount: 9,
    gpuType: "H100",
  });
  assert.deepEqual(reasons(found).slice(0, 3), ["MODEL_NAME_TAKEN", "WEIGHTS_NOT_FOUND", "CAPACITY_SHORT"]);
  const broke = await ask({ ownerId: f.other.userId });
  assert.deepEqual(reasons(broke), ["BALANCE_TOO_LOW"]);
});

test("an owner who has not accepted the terms in force deploys nothing, and is told before", async (t) => {
  const terms = { version: "2026-01", url: "https://example.com/terms" };
  const { f, ask } = await fixture(t, { terms });
  assert.deepEqual(reasons(await ask()), ["TOS_NOT_ACCEPTED"]);
  await assert.rejects(f.deploy(), { code: "FAILED_PRECONDITION", reason: "TOS_NOT_ACCEPTED" });
  await acceptTos(f.ctx, { userId: f.owner.userId, terms, version: "" });
  await f.deploy();
});

test("asking changes nothing", async (t) => {
  const { f, ask } = await fixture(t);
  await ask();
  assert.equal(await f.heldNanos(), 0n);
  await f.deploy();
});

test("after a start at a place, the time is the time that it took", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy();
  const ready = await f.until(model.id, "RUNNING");
  const took = ready.model.statusSince.getTime() - model.createdAt.getTime();
  const found = await preflight(f.ctx, f.deps, { ...deployInput(f.owner.userId), modelName: "next" });
  assert.match(found.time?.message ?? "", /last start/);
  assert.ok(Math.abs((found.time?.readySeconds ?? 0) * 1_000 - took) <= 2_000);
});
