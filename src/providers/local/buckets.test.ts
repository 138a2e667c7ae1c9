/** Buckets on this machine's disk: what a replica evaluated is there for the next one, for its owner's model and for nobody else. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  cleanHome,
  ENGINE_UID,
  liveCtx,
  newDriver,
  newSpec,
  untilPhase,
} from "../../../test/support/local-driver.ts";
import { testWeights } from "../../../test/support/weights.ts";
import type { ReplicaSpec } from "../driver.ts";
import { replicaName } from "../replica-name.ts";
import type { LocalDriver } from "./index.ts";

const IS_ROOT = process.getuid?.() === 0;
const LIMIT = 100 * 2 ** 20;
const QUESTION = "tell me about the people of the world and the work that they do every day of the year";
const ALWAYS = new Date(0);

async function machineWith(t: TestContext) {
  const home = await mkdtemp(join(tmpdir(), "slipway-buckets-"));
  const { weights } = await testWeights(t, undefined, { cacheDir: join(home, "weights") });
  const driver = newDriver(home, weights);
  t.after(async () => {
    await driver.close();
    await cleanHome(home);
  });
  const spec = await newSpec(weights);
  return { home, driver, spec, weights };
}

const id = () => liveCtx.random.uuid();
const partFor = (bucketId = id(), modelId = id()) => ({ bucketId, modelId, limitBytes: LIMIT });

/** Another life of the same replica, with this part of a bucket. */
function lifeOf(spec: ReplicaSpec, attempt: number, storage: ReplicaSpec["storage"]): ReplicaSpec {
  const key = { ...spec.key, attempt };
  return { ...spec, key, name: replicaName(key), storage };
}

/** Starts a replica, asks it, ends it as a pause does; gives how many prompt tokens came from its cache. */
async function cachedIn(driver: LocalDriver, spec: ReplicaSpec): Promise<number> {
  await driver.apply(liveCtx, spec);
  const { address, failure } = await untilPhase(driver, spec.name, ["up"]);
  assert.ok(address, failure?.message);
  const answer = await fetch(`http://${address.host}:${address.port}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${spec.secrets.engineKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "tiny", messages: [{ role: "user", content: QUESTION }], max_tokens: 8 }),
  });
  const body = (await answer.json()) as { usage: { prompt_tokens_details: { cached_tokens: number } } };
  await driver.remove(liveCtx, spec.name, { graceMs: 20_000 });
  await untilPhase(driver, spec.name, ["absent"]);
  return body.usage.prompt_tokens_details.cached_tokens;
}

test("what a replica evaluated is there for the next one of the model; for another model or bucket, and without one, it is not", async (t) => {
  const { driver, spec } = await machineWith(t);
  const own = partFor();
  assert.equal(await cachedIn(driver, lifeOf(spec, 1, own)), 0);
  assert.ok((await cachedIn(driver, lifeOf(spec, 2, own))) > 20);
  assert.equal(await cachedIn(driver, lifeOf(spec, 3, partFor(own.bucketId))), 0);
  assert.equal(await cachedIn(driver, lifeOf(spec, 4, partFor(id(), own.modelId))), 0);
  assert.equal(await cachedIn(driver, lifeOf(spec, 5, undefined)), 0);
});

test("other weights find nothing, in the same part of the same bucket", async (t) => {
  const { driver, spec, weights } = await machineWith(t);
  const own = partFor();
  await cachedIn(driver, lifeOf(spec, 1, own));
  const other = await newSpec(weights, { source: "builtin://tiny?seed=2" });
  assert.equal(await cachedIn(driver, lifeOf(other, 1, own)), 0);
  assert.ok((await cachedIn(driver, lifeOf(spec, 2, own))) > 20);
});

test("the engine's user owns its own folder and can enter none above it", async (t) => {
  const { home, driver, spec } = await machineWith(t);
  const own = partFor();
  await cachedIn(driver, lifeOf(spec, 1, own));
  const part = join(home, "storage", own.bucketId, own.modelId);
  for (const path of [join(home, "storage"), join(part, ".."), part]) {
    const { mode, uid } = await stat(path);
    assert.deepEqual([mode & 0o777, uid], [0o700, process.getuid?.()]);
  }
  const [shape = ""] = await readdir(part);
  const { mode, uid } = await stat(join(part, shape));
  assert.deepEqual([mode & 0o777, uid], [0o700, IS_ROOT ? ENGINE_UID : process.getuid?.()]);
});

test("a bucket that is removed is gone at once, and whoever still runs on it only loses its cache", async (t) => {
  const { home, driver, spec } = await machineWith(t);
  const own = partFor();
  await cachedIn(driver, lifeOf(spec, 1, own));
  const running = lifeOf(spec, 2, own);
  await driver.apply(liveCtx, running);
  await untilPhase(driver, running.name, ["up"]);
  const gone = { bucketId: own.bucketId, limitBytes: 0, usedSince: ALWAYS, modelIds: [own.modelId] };
  await driver.storage?.trim(liveCtx, [gone]);
  assert.deepEqual(await driver.storage?.list(liveCtx), []);
  assert.deepEqual(await readdir(join(home, "storage")), []);
  assert.equal(await cachedIn(driver, running), 0);
  assert.equal(await cachedIn(driver, lifeOf(spec, 3, own)), 0);
});

test("trimming: the longest unused goes until the rest fits, old states go, states of models that may not stay go", async (t) => {
  const { home, driver, spec } = await machineWith(t);
  const a = partFor();
  const second = partFor(a.bucketId);
  await cachedIn(driver, lifeOf(spec, 1, a));
  await cachedIn(driver, lifeOf(spec, 2, second));
  const shapeOf = async (modelId: string) => {
    const part = join(home, "storage", a.bucketId, modelId);
    const [shape = ""] = await readdir(part);
    return join(part, shape);
  };
  /** A state of a thousand bytes that was last used then. */
  const put = async (modelId: string, name: string, usedAt: Date) => {
    const dir = await shapeOf(modelId);
    for (const [kind, size] of [
      ["state", 900],
      ["tokens", 100],
    ] as const) {
      await writeFile(join(dir, `${name}.${kind}`), Buffer.alloc(size));
      await utimes(join(dir, `${name}.${kind}`), usedAt, usedAt);
    }
  };
  const day = (number: number) => new Date(Date.UTC(2020, 0, number));
  await driver.storage?.trim(liveCtx, [
    { bucketId: a.bucketId, limitBytes: 1, usedSince: ALWAYS, modelIds: [a.modelId, second.modelId] },
  ]);
  await put(a.modelId, "old", day(1));
  await put(a.modelId, "new", day(20));
  await put(second.modelId, "middle", day(10));
  const bytes = async () => (await driver.storage?.list(liveCtx))?.map((part) => part.bytes).sort();
  const trim = (limitBytes: number, usedSince: Date, modelIds = [a.modelId, second.modelId]) =>
    driver.storage?.trim(liveCtx, [{ bucketId: a.bucketId, limitBytes, usedSince, modelIds }]);
  assert.deepEqual(await bytes(), [1_000, 2_000]);
  assert.equal((await trim(2_500, ALWAYS))?.get(a.bucketId), 1_000);
  assert.deepEqual(await bytes(), [1_000, 1_000]);
  assert.equal((await trim(2_500, day(15)))?.get(a.bucketId), 0);
  assert.deepEqual(await bytes(), [0, 1_000]);
  await trim(2_500, ALWAYS, [second.modelId]);
  assert.deepEqual(await bytes(), [0]);
});
