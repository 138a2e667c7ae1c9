/** Engines that are programs of their own: what they are given, what they may see, and what their ends tell. */
import assert from "node:assert/strict";
import { access, chmod, mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  cleanHome,
  ENGINE_UID,
  liveCtx,
  newDriver,
  newSpec,
  untilPhase,
} from "../../../test/support/local-driver.ts";
import { gpuLines, standInNvidiaSmi } from "../../../test/support/nvidia-smi.ts";
import { testWeights } from "../../../test/support/weights.ts";
import { failureOf, vllm } from "../../engines/vllm/index.ts";
import type { ReplicaSpec } from "../driver.ts";
import type { LocalDriver } from "./index.ts";

const STAND_IN = fileURLToPath(new URL("../../../test/support/stand-in-vllm.ts", import.meta.url));
const SWITCHES = { kvCacheEnabled: true, cpuOffloadingEnabled: false };
const GIB = 2 ** 30;
const SHAPE = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 2_048,
  vocab_size: 320,
};

/** A machine with one GPU, vLLM, and a folder of weights. */
async function machineWith(t: TestContext, config: object = {}) {
  const home = await mkdtemp(join(tmpdir(), "slipway-program-"));
  const folder = join(home, "models", "tiny");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), JSON.stringify({ ...SHAPE, ...config }));
  await writeFile(join(folder, "model.safetensors"), "weights");
  await chmod(folder, 0o755);
  const runRoot = await mkdtemp(join(tmpdir(), "slipway-run-"));
  const { weights } = await testWeights(t, undefined, {
    cacheDir: join(home, "weights"),
    allowedDirs: [join(home, "models")],
  });
  const words = [process.execPath, STAND_IN, "serve"];
  const nvidiaSmi = await standInNvidiaSmi(home, { stdout: gpuLines(1) });
  const driver = newDriver(home, weights, {
    programs: { vllm: { engine: vllm, words, failureOf } },
    nvidiaSmi,
    runRoot,
  });
  t.after(async () => {
    await driver.close();
    await cleanHome(home);
  });
  return { driver, runRoot, spec: await specOf() };

  async function specOf(): Promise<ReplicaSpec> {
    const base = await newSpec(weights, {});
    const facts = await weights.resolve(liveCtx, { source: `file://${folder}`, hfToken: "" });
    const hardware = {
      gpuType: "H100" as const,
      gpuCount: 1,
      gpuMemoryBytes: 80 * GIB,
      cpuMemoryBytes: GIB,
      cpuCount: 1,
    };
    const plan = vllm.plan(facts, hardware, SWITCHES, {});
    return { ...base, gpuType: "H100", gpuCount: 1, weights: facts, plan };
  }
}

async function removed(driver: LocalDriver, name: string): Promise<void> {
  await driver.remove(liveCtx, name, { graceMs: 0 });
  await untilPhase(driver, name, ["absent"]);
}

test("vLLM gets its model by name, its GPU alone, and a key that nobody sees", async (t) => {
  const { driver, runRoot, spec } = await machineWith(t);
  await driver.apply(liveCtx, spec);
  const { address } = await untilPhase(driver, spec.name, ["up"]);
  const answer = await fetch(`http://${address?.host}:${address?.port}/health`);
  const seen = (await answer.json()) as Record<string, unknown>;
  assert.deepEqual(seen.files, ["config.json", "model.safetensors"]);
  assert.match(String(seen.gpus), /^GPU-/);
  assert.equal(seen.keyIsVisible, false);
  if (process.getuid?.() === 0) assert.equal(seen.uid, ENGINE_UID);
  const free = async () => (await driver.offers(liveCtx)).find((one) => one.gpuType === "H100")?.gpuCountMax;
  assert.equal(await free(), 0);
  await removed(driver, spec.name);
  assert.equal(await free(), 1);
  await assert.rejects(access(join(runRoot, spec.name)), "its files are gone");
});

test("what vLLM keeps lies in its owner's bucket, and is there for the next one", async (t) => {
  const { driver, spec } = await machineWith(t);
  const id = () => liveCtx.random.uuid();
  const storage = { bucketId: id(), modelId: id(), limitBytes: GIB };
  // Only what has LMCache for its main memory goes on in files.
  const plan = { ...spec.plan, options: { ...spec.plan.options, offload: "lmcache", offloadGiB: 1 } };
  await driver.apply(liveCtx, { ...spec, plan, storage });
  await untilPhase(driver, spec.name, ["up"]);
  const [part] = (await driver.storage?.list(liveCtx)) ?? [];
  assert.deepEqual([part?.bucketId, part?.modelId, part?.states], [storage.bucketId, storage.modelId, 1]);
  await removed(driver, spec.name);
  assert.equal((await driver.storage?.list(liveCtx))?.[0]?.bytes, "chunk".length);
});

test("the reason of a failed start is read from vLLM's own lines", async (t) => {
  const fail = "ValueError: No available memory for the cache blocks. Try increasing gpu_memory_utilization";
  const { driver, spec } = await machineWith(t, { fail });
  await driver.apply(liveCtx, spec);
  const { failure } = await untilGone(driver, spec.name);
  assert.equal(failure?.reason, "MODEL_TOO_LARGE");
  assert.equal(failure?.retryable, false);
  await removed(driver, spec.name);
});

test("where the program is not installed, only llama.cpp is offered", async (t) => {
  const { weights } = await testWeights(t, undefined, {});
  const home = await mkdtemp(join(tmpdir(), "slipway-program-"));
  const nvidiaSmi = await standInNvidiaSmi(home, { stdout: gpuLines(1) });
  const words = ["/nowhere/vllm", "serve"];
  const driver = newDriver(home, weights, {
    programs: { vllm: { engine: vllm, words, failureOf } },
    nvidiaSmi,
  });
  t.after(() => cleanHome(home));
  const offers = await driver.offers(liveCtx);
  assert.deepEqual(
    offers.map(({ gpuType, engines }) => [gpuType, engines]),
    [["UNSPECIFIED", ["llama.cpp"]]],
  );
});

async function untilGone(driver: LocalDriver, name: string) {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const [seen] = await driver.observe(liveCtx, [name]);
    if (seen?.phase === "gone") return seen;
    if (performance.now() > deadline) throw new Error(`it never ended: ${JSON.stringify(seen)}`);
    await liveCtx.clock.sleep(50);
  }
}
