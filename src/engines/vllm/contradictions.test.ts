import assert from "node:assert/strict";
import { test } from "node:test";
import type { Hardware, SpecValues, WeightsFacts } from "../engine.ts";
import { checkSpec } from "../spec.ts";
import { vllm } from "./index.ts";
import { CPU, DEEPSEEK_V3, gpus, LLAMA_70B, QWEN3_8B } from "./testing/shapes.ts";

const ON = { kvCacheEnabled: true, cpuOffloadingEnabled: false };
const OFFLOAD = { kvCacheEnabled: true, cpuOffloadingEnabled: true };

const fieldsOf = (weights: WeightsFacts, hardware: Hardware, spec: SpecValues, switches = ON) =>
  vllm.contradictions(weights, hardware, switches, spec).map(({ field }) => field);

test("what is chosen for the user never contradicts anything", () => {
  for (const weights of [QWEN3_8B, LLAMA_70B, DEEPSEEK_V3]) {
    for (const count of [1, 2, 3, 4, 5, 6, 7, 8]) {
      assert.deepEqual(fieldsOf(weights, gpus(count), {}), [], `${weights.architecture} on ${count}`);
    }
  }
  assert.deepEqual(fieldsOf(DEEPSEEK_V3, gpus(16, 2), {}), []);
  assert.deepEqual(fieldsOf(QWEN3_8B, CPU, {}), []);
});

test("a split must use the GPUs that were asked for, and deal out heads and layers", () => {
  const [violation] = vllm.contradictions(LLAMA_70B, gpus(8), ON, { tensorParallel: 4, pipelineParallel: 1 });
  assert.match(violation?.description ?? "", /4 × 1 × 1 = 4, and the replica has 8 GPUs/);
  assert.deepEqual(fieldsOf(LLAMA_70B, gpus(3), { tensorParallel: 3 }), ["model_spec.tensorParallel"]);
  assert.deepEqual(fieldsOf(QWEN3_8B, gpus(40), { pipelineParallel: 40 }), ["model_spec.pipelineParallel"]);
  assert.deepEqual(fieldsOf(LLAMA_70B, gpus(9, 2), { pipelineParallel: 9 }), ["gpu_count"]);
});

test("experts are for models that have some", () => {
  assert.deepEqual(fieldsOf(QWEN3_8B, gpus(2), { dataParallel: 2 }), ["model_spec.dataParallel"]);
  assert.deepEqual(fieldsOf(QWEN3_8B, gpus(2), { expertParallel: true }), ["model_spec.expertParallel"]);
  assert.deepEqual(fieldsOf(DEEPSEEK_V3, gpus(8), { dataParallel: 8 }), []);
  assert.deepEqual(fieldsOf(DEEPSEEK_V3, gpus(16, 2), { dataParallel: 2 }), ["model_spec.dataParallel"]);
});

test("a switch that can't do anything, and a size without its switch, are told", () => {
  const off = { kvCacheEnabled: false, cpuOffloadingEnabled: true };
  assert.deepEqual(fieldsOf(QWEN3_8B, gpus(1), {}, off), ["cpu_offloading_enabled"]);
  assert.deepEqual(fieldsOf(QWEN3_8B, gpus(1), { kvOffloadGiB: 4 }), ["model_spec.kvOffloadGiB"]);
  assert.deepEqual(fieldsOf(QWEN3_8B, gpus(1), { kvOffloadGiB: 4 }, OFFLOAD), []);
  assert.deepEqual(fieldsOf(QWEN3_8B, gpus(1), { kvOffloadGiB: 513 }, OFFLOAD), ["model_spec.kvOffloadGiB"]);
});

test("adapters can't be taken from outside their directory", () => {
  for (const bad of [
    "a=/etc",
    "a=../b",
    "a=b/../../c",
    "a",
    "=b",
    "a=",
    "a=.b",
    "a=b/./c",
    "a=b c",
    "--x=y",
  ]) {
    assert.deepEqual(fieldsOf(QWEN3_8B, gpus(1), { loraModules: [bad] }), ["model_spec.loraModules"], bad);
  }
  assert.deepEqual(fieldsOf(QWEN3_8B, gpus(1), { loraModules: ["sql=team/sql-v1.2"], loraRankMax: 64 }), []);
  assert.deepEqual(fieldsOf(QWEN3_8B, gpus(1), { loraModules: ["a=b"], loraRankMax: 24 }), [
    "model_spec.loraRankMax",
  ]);
});

test("keys of GPUs are refused on CPUs, all at once", () => {
  assert.deepEqual(fieldsOf(QWEN3_8B, CPU, { tensorParallel: 2, kvCacheDtype: "fp8", dtype: "bfloat16" }), [
    "model_spec.tensorParallel",
    "model_spec.kvCacheDtype",
  ]);
});

test("a contradiction is answered as an invalid value is, and valid values pass", () => {
  const at = { weights: QWEN3_8B, hardware: gpus(2), switches: ON };
  const product = checkSpec(vllm, at, { tensorParallel: 1, pipelineParallel: 1 });
  assert.deepEqual(product.ok ? [] : product.violations.map(({ field, reason }) => [field, reason]), [
    ["model_spec.tensorParallel", "SPEC_VALUE_INVALID"],
  ]);
  assert.deepEqual(checkSpec(vllm, at, { tensorParallel: 2 }), { ok: true, values: { tensorParallel: 2 } });
});
