import assert from "node:assert/strict";
import { test } from "node:test";
import { simEngine } from "../../test/sim/world.ts";
import { deployInput, modelFixture, NANOS_PER_HOUR } from "../../test/support/models.ts";
import { StatusError } from "../base/status.ts";
import { setGpuPrice } from "../billing/index.ts";
import { acceptTos } from "../identity/index.ts";
import type { Driver, RegionOffer } from "../providers/driver.ts";
import type { DeployInput } from "./parse-deploy.ts";
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

const refuses = (message: string) => ({
  ...driver("cloud", "LAMBDA", []),
  offers: () =>
    Promise.reject(new StatusError({ code: "UNAUTHENTICATED", reason: "PLACE_UNAVAILABLE", message })),
});

/** What is asked, of which places, and the field and the words that the answer must have. */
const BAD: readonly [string, Partial<DeployInput>, readonly Driver[], string, RegExp][] = [
  [
    "a region that nobody configured",
    { regions: { LAMBDA: "mars-1" } },
    places,
    "infra",
    /not configured.*us-east-1/,
  ],
  ["a provider that nobody configured", { provider: "YOTTA" }, places, "infra", /None of that provider/],
  [
    "a node of another region",
    { gpuType: "H100", gpuCount: 1, nodeId: "x" },
    places,
    "node_id",
    /It has n1\. Leave/,
  ],
  [
    "a GPU type that the place has not",
    { provider: "LAMBDA", gpuType: "B200", gpuCount: 1 },
    places,
    "gpu_type",
    /has A100 GPUs, no GPUs of type B200. Ask for/,
  ],
  [
    "more GPUs than a machine has",
    { gpuType: "H100", gpuCount: 9 },
    places,
    "gpu_count",
    /Ask for 8 or fewer/,
  ],
  [
    "credentials that are refused",
    { provider: "LAMBDA" },
    [refuses("Lambda refuses our API key. Renew it.")],
    "infra",
    /API key. Renew it/,
  ],
  [
    "a cluster that can't be reached",
    { provider: "NEBIUS" },
    [{ ...driver("c", "NEBIUS", []), offers: () => Promise.reject(new Error("ECONNREFUSED")) }],
    "infra",
    /does not answer.*Try again/,
  ],
];

test("each bad input about the place is told with its field and the way out", async (t) => {
  const { f } = await fixture(t);
  for (const [what, change, drivers, field, words] of BAD) {
    const asked = { ...deployInput(f.owner.userId), ...change };
    const [problem] = (await preflight(f.ctx, { ...f.deps, drivers }, asked)).problems;
    assert.equal(problem?.violations[0]?.field, field, what);
    assert.match(problem.message, words, what);
  }
});

const GIB = 2 ** 30;

test("a count that is not sold is refused with the counts next to it, and what there is no room for is waited for", async (t) => {
  const offer = { ...h100, gpuCounts: [1, 2, 4, 8], gpuCountsFree: [1] };
  const { ask } = await fixture(t, { drivers: [driver("cloud", "LAMBDA", [offer])] });
  const [problem] = (await ask({ gpuType: "H100", gpuCount: 3 })).problems;
  assert.equal(problem?.reason, "GPU_COUNT_INVALID");
  assert.match(problem.message, /sells H100 GPUs by 1, 2, 4, 8, not by 3. Ask for 2 or 4./);
  assert.equal(problem.violations[0]?.field, "gpu_count");
  const full = await ask({ gpuType: "H100", gpuCount: 8 });
  assert.deepEqual(reasons(full), []);
  assert.equal(full.best?.possible && full.best.room, "none");
});

test("of equal places the one with room now is chosen, and a spent quota is told with its numbers", async (t) => {
  const west = { ...h100, region: "us-west-1", gpuCountsFree: [1] };
  const east = { ...h100, gpuCountsFree: [] };
  const { f, ask } = await fixture(t, { drivers: [driver("cloud", "LAMBDA", [east, west])] });
  assert.equal((await ask({ gpuType: "H100", gpuCount: 1 })).best?.place.region, "us-west-1");
  const spent = { ...h100, gpuQuota: { max: 8, used: 7 } };
  const deps = { ...f.deps, drivers: [driver("cloud", "LAMBDA", [spent])] };
  const asked = { ...deployInput(f.owner.userId), gpuType: "H100", gpuCount: 2 } as const;
  const [problem] = (await preflight(f.ctx, deps, asked)).problems;
  assert.equal(problem?.reason, "CAPACITY_SHORT");
  assert.match(problem.message, /may have 8 H100 GPUs at LAMBDA\/us-east-1 and has 7; 2 more/);
});

test("a type in two sizes of memory is two offers: the fit is judged for each, the smaller that fits is taken", async (t) => {
  const a100 = (gib: number) => ({ ...h100, gpuType: "A100", gpuMemoryBytes: gib * GIB }) as const;
  const needs = (bytes: number) => ({
    ...simEngine,
    fit: (_weights: unknown, { gpuMemoryBytes }: { gpuMemoryBytes: number }) => ({
      fits: gpuMemoryBytes >= bytes,
      availableBytes: gpuMemoryBytes,
      lines: [{ item: "all", bytes }],
      contextMaxTokens: 512,
      contextTokens: 512,
    }),
  });
  const drivers = [driver("cloud", "LAMBDA", [a100(80), a100(40)])];
  const { f, ask } = await fixture(t, { drivers, engines: [needs(30 * GIB)] });
  const memory = (found: Awaited<ReturnType<typeof ask>>) =>
    found.best?.possible && found.best.hardware.gpuMemoryBytes;
  assert.equal(memory(await ask({ gpuType: "A100", gpuCount: 1 })), 40 * GIB);
  const deps = { ...f.deps, engines: [needs(60 * GIB)] };
  const asked = { ...deployInput(f.owner.userId), gpuType: "A100", gpuCount: 1 } as const;
  const large = await preflight(f.ctx, deps, asked);
  assert.deepEqual(reasons(large), []);
  assert.equal(memory(large), 80 * GIB);
});

test("where the asked place does not work, the cheapest deploy that would is told with what differs", async (t) => {
  const { ask } = await fixture(t);
  const found = await ask({
    provider: "LAMBDA",
    regions: { LAMBDA: "us-east-1" },
    gpuType: "A100",
    gpuCount: 2,
  });
  assert.deepEqual(reasons(found), ["GPU_TYPE_UNAVAILABLE"]);
  assert.deepEqual(found.alternative?.changes, [
    { field: "infra", value: "ONPREM/local" },
    { field: "gpu_type", value: "UNSPECIFIED" },
    { field: "gpu_count", value: "0" },
  ]);
  assert.equal(found.alternative.cost.nanosPerHour, NANOS_PER_HOUR);
  assert.equal((await ask()).alternative, undefined, "nothing is offered instead of what works");
});

test("where only a shorter context fits, or only fewer replicas can be paid, that is the way out", async (t) => {
  const engine = {
    ...simEngine,
    specKeys: [
      { name: "contextTokens", type: "int", description: "", min: 1, max: 8_192, mutable: true },
    ] as const,
    fit: (_weights: unknown, _hardware: unknown, _switches: unknown, spec: Record<string, unknown>) => ({
      fits: Number(spec.contextTokens ?? 8_192) <= 2_048,
      availableBytes: 1,
      lines: [{ item: "all", bytes: 2 }],
      contextMaxTokens: 2_048,
      contextTokens: 8_192,
    }),
  };
  const { f, ask } = await fixture(t, { drivers: [driver("local", "ONPREM", [cpu])], engines: [engine] });
  const short = await ask();
  assert.deepEqual(reasons(short), ["MODEL_TOO_LARGE"]);
  assert.deepEqual(short.alternative?.changes, [{ field: "model_spec.contextTokens", value: "2048" }]);
  const many = await ask({ replicas: 64, modelSpec: { contextTokens: 512 } });
  assert.deepEqual(reasons(many), []);
  const deps = { ...f.deps, limits: { ...f.deps.limits, windowMs: 8 * 60 * 60_000 } };
  const dear = await preflight(f.ctx, deps, {
    ...deployInput(f.owner.userId),
    replicas: 64,
    modelSpec: { contextTokens: 512 },
  });
  assert.deepEqual(reasons(dear), ["BALANCE_TOO_LOW"]);
  assert.deepEqual(dear.alternative?.changes, [{ field: "replicas", value: "1" }]);
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
  assert.match(found.time?.message ?? "", /last start of these weights/);
  assert.deepEqual([found.time?.starts, found.time?.readySecondsP95], [1, found.time?.readySeconds]);
  assert.ok(Math.abs((found.time?.readySeconds ?? 0) * 1_000 - took) <= 2_000);
});

test("a place that keeps nothing in the owner's external storage is told by name, where the model would use it", async (t) => {
  const part = { bucketId: "b", modelId: "m", limitBytes: 1 };
  const storage = { partOf: async () => part };
  const { f, ask } = await fixture(t, { storage });
  const cloud = { provider: "LAMBDA", gpuType: "H100", gpuCount: 1, kvCacheEnabled: true } as const;
  assert.match(
    (await ask(cloud)).storageWarning,
    /^LAMBDA\/us-east-1 keeps nothing in your external storage/,
  );
  assert.equal((await ask({ ...cloud, kvCacheEnabled: false })).storageWarning, "");
  const keeps = { list: async () => [], trim: async () => new Map() };
  const deps = { ...f.deps, drivers: places.map((place) => ({ ...place, storage: keeps })) };
  const input = { ...deployInput(f.owner.userId), ...cloud };
  assert.equal((await preflight(f.ctx, deps, input)).storageWarning, "");
  const none = { ...f.deps, storage: { partOf: async () => undefined } };
  assert.equal((await preflight(f.ctx, none, input)).storageWarning, "");
});
