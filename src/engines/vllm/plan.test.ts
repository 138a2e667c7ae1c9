import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { validateSpec } from "../spec.ts";
import { vllm } from "./index.ts";
import { totalBytes } from "./memory.ts";
import {
  CPU,
  DEEPSEEK_V3,
  GIB,
  GPT_OSS_20B,
  gpus,
  LLAMA_70B,
  QWEN3_8B,
  QWEN3_32B,
} from "./testing/shapes.ts";

const ON = { kvCacheEnabled: true, cpuOffloadingEnabled: false };
const OFFLOAD = { kvCacheEnabled: true, cpuOffloadingEnabled: true };

const split = (weights: typeof QWEN3_8B, gpuCount: number, spec = {}, nodes?: number) => {
  const { options } = vllm.plan(weights, gpus(gpuCount, nodes), ON, spec);
  return [options.tensorParallel, options.pipelineParallel, options.dataParallel];
};

test("safetensors with a known shape are supported, on GPUs and on CPUs", () => {
  assert.equal(vllm.supports(QWEN3_8B, gpus(1)), true);
  assert.equal(vllm.supports(QWEN3_8B, CPU), true);
  assert.equal(vllm.supports({ ...QWEN3_8B, format: "gguf" }, gpus(1)), false);
  assert.equal(vllm.supports({ ...QWEN3_8B, heads: 0 }, gpus(1)), false);
});

test("GPUs of a node share each layer; what the heads don't allow becomes a pipeline", () => {
  assert.deepEqual(split(QWEN3_8B, 1), [1, 1, 1]);
  assert.deepEqual(split(LLAMA_70B, 8), [8, 1, 1]);
  assert.deepEqual(split(LLAMA_70B, 6), [2, 3, 1]);
  assert.deepEqual(split(LLAMA_70B, 3), [1, 3, 1]);
  assert.deepEqual(split(QWEN3_32B, 16), [16, 1, 1]);
});

test("over several nodes the pipeline crosses the network, not the layer", () => {
  assert.deepEqual(split(DEEPSEEK_V3, 16, {}, 2), [8, 2, 1]);
});

test("modelSpec decides the split, and the rest follows", () => {
  assert.deepEqual(split(LLAMA_70B, 8, { tensorParallel: 4 }), [4, 2, 1]);
  assert.deepEqual(split(LLAMA_70B, 8, { pipelineParallel: 8 }), [1, 8, 1]);
  assert.deepEqual(split(DEEPSEEK_V3, 8, { dataParallel: 8 }), [1, 1, 8]);
  const { options } = vllm.plan(DEEPSEEK_V3, gpus(8), ON, { dataParallel: 8 });
  assert.equal(options.expertParallel, true);
});

test("unasked, the context is the model's own where it fits, else the longest that does", () => {
  assert.equal(vllm.fit(QWEN3_8B, gpus(1), ON, {}).contextTokens, 40_960);
  const tight = vllm.fit(LLAMA_70B, gpus(2), ON, {});
  assert.equal(tight.of, "gpu");
  assert.equal(tight.fits, false, "70 billion parameters of 16 bits leave two cards of 80 GB no room");
  assert.equal(tight.contextMaxTokens, 0);
  const three = vllm.fit(LLAMA_70B, gpus(3), ON, {});
  assert.equal(three.fits, true);
  assert.equal(three.contextTokens, three.contextMaxTokens);
});

test("a context that is asked for and does not fit is not fitted, and the longest that does is told", () => {
  const small = { ...gpus(1), gpuMemoryBytes: 30 * GIB };
  const fit = vllm.fit(QWEN3_8B, small, ON, { contextTokens: 40_960 });
  assert.equal(fit.fits, false);
  assert.ok(fit.contextMaxTokens > 0 && fit.contextMaxTokens < 40_960);
  assert.equal(vllm.fit(QWEN3_8B, small, ON, { contextTokens: 99_999_999 }).contextTokens, 40_960);
});

test("on any GPU the longest context fits and one page more does not", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 16, max: 200 }),
      fc.constantFrom(QWEN3_8B, GPT_OSS_20B, QWEN3_32B),
      fc.constantFrom(1, 2, 4),
      (gib, weights, count) => {
        const hardware = { ...gpus(count), gpuMemoryBytes: gib * GIB };
        const longest = vllm.fit(weights, hardware, ON, {}).contextMaxTokens;
        const fits = (contextTokens: number) => vllm.fit(weights, hardware, ON, { contextTokens }).fits;
        if (longest > 0) assert.equal(fits(longest), true);
        if (longest < weights.contextMax) assert.equal(fits(longest + 16), false);
      },
    ),
  );
});

test("the plan's memory is the sum of the fit's lines", () => {
  const fit = vllm.fit(QWEN3_8B, gpus(1), ON, {});
  assert.equal(vllm.plan(QWEN3_8B, gpus(1), ON, {}).memoryBytes, totalBytes(fit.lines));
  assert.ok(totalBytes(fit.lines) <= fit.availableBytes);
});

test("fp8 while loading makes room: 16-bit weights take little more than half", () => {
  const weightsLine = (spec: object) => vllm.fit(QWEN3_8B, gpus(1), ON, { ...spec }).lines[1]?.bytes ?? 0;
  assert.ok(Math.abs(weightsLine({ quantization: "fp8" }) / weightsLine({}) - 0.55) < 0.001);
  const quantized = vllm.fit(DEEPSEEK_V3, gpus(8), ON, { quantization: "fp8" }).lines[1]?.bytes;
  assert.equal(quantized, DEEPSEEK_V3.sizeBytes / 8, "weights that are quantized already stay as large");
});

test("the switches decide the cache: prefix caching, and a copy in main memory of half a node's", () => {
  const cache = (switches: typeof ON, spec = {}) => {
    const { options } = vllm.plan(QWEN3_8B, gpus(1), switches, spec);
    return [options.prefixCache, options.offload, options.offloadGiB];
  };
  assert.deepEqual(cache({ kvCacheEnabled: false, cpuOffloadingEnabled: false }), [false, "", 0]);
  assert.deepEqual(cache(ON), [true, "", 0]);
  assert.deepEqual(cache(OFFLOAD), [true, "lmcache", 256]);
  assert.deepEqual(cache(OFFLOAD, { kvOffloadGiB: 40, kvOffloadBackend: "native" }), [true, "native", 40]);
});

test("on CPUs the cache is whole GiB of main memory, and no long context is taken unasked", () => {
  const plan = vllm.plan({ ...QWEN3_8B, sizeBytes: GIB }, CPU, ON, {});
  assert.equal(plan.contextTokens, 8_192);
  assert.equal(plan.options.cpuKvGiB, 5); // 4 × 8192 × 147,456 bytes = 4.5 GiB
  assert.equal(plan.sequencesMax, 4);
  assert.equal(plan.options.dtype, "bfloat16");
});

test("a plan survives being stored as JSON", () => {
  const plan = vllm.plan(QWEN3_8B, gpus(2), OFFLOAD, { loraModules: ["a=b"] });
  assert.deepEqual(JSON.parse(JSON.stringify(plan)), plan);
});

test("parsers follow the family, by model type and by name", () => {
  const parsers = (architecture: string, source: string) => {
    const { options } = vllm.plan({ ...QWEN3_8B, architecture, source }, gpus(1), ON, {});
    return [options.toolParser, options.reasoningParser];
  };
  assert.deepEqual(parsers("qwen2", "Qwen/Qwen2.5-7B-Instruct"), ["hermes", ""]);
  assert.deepEqual(parsers("qwen2", "Qwen/QwQ-32B"), ["hermes", "deepseek_r1"]);
  assert.deepEqual(parsers("qwen3_moe", "Qwen/Qwen3-30B-A3B"), ["hermes", "qwen3"]);
  assert.deepEqual(parsers("qwen3_moe", "Qwen/Qwen3-Coder-30B-A3B-Instruct"), ["qwen3_xml", ""]);
  assert.deepEqual(parsers("llama", "meta-llama/Llama-3.3-70B-Instruct"), ["llama3_json", ""]);
  assert.deepEqual(parsers("llama", "someone/tiny-random"), ["", ""]);
  assert.deepEqual(parsers("llama", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"), ["", "deepseek_r1"]);
  assert.deepEqual(parsers("gpt_oss", "openai/gpt-oss-20b"), ["openai", "openai_gptoss"]);
  assert.deepEqual(parsers("deepseek_v3", "deepseek-ai/DeepSeek-V3-0324"), ["deepseek_v3", ""]);
  assert.deepEqual(parsers("deepseek_v3", "deepseek-ai/DeepSeek-R1-0528"), ["deepseek_v3", "deepseek_r1"]);
  assert.deepEqual(parsers("deepseek_v3", "deepseek-ai/DeepSeek-V3.1"), ["deepseek_v31", "deepseek_v3"]);
  assert.deepEqual(parsers("deepseek_v3", "moonshotai/Kimi-K2-Instruct"), ["kimi_k2", "kimi_k2"]);
  assert.deepEqual(parsers("glm4_moe", "zai-org/GLM-4.5-Air"), ["glm45", "glm45"]);
  assert.deepEqual(parsers("glm4_moe", "zai-org/GLM-4.7"), ["glm47", "glm47"]);
  assert.deepEqual(parsers("minimax_m2", "MiniMaxAI/MiniMax-M2.1"), ["minimax_m2", "minimax_m2"]);
  assert.deepEqual(parsers("mistral", "mistralai/Devstral-Small-2507"), ["mistral", ""]);
});

test("modelSpec overrides the parsers", () => {
  const spec = { toolParser: "none", reasoningParser: "qwen3" };
  const { options } = vllm.plan({ ...QWEN3_8B, architecture: "llama" }, gpus(1), ON, spec);
  assert.deepEqual([options.toolParser, options.reasoningParser], ["", "qwen3"]);
});

test("unknown keys are refused by name with the nearest one; bounds and choices are kept", () => {
  const refused = (raw: object) => {
    const result = validateSpec(vllm.specKeys, raw);
    return result.ok ? [] : result.violations.map(({ field, description }) => `${field}: ${description}`);
  };
  assert.match(
    refused({ tensor_parallel: 2 })[0] ?? "",
    /no key "tensor_parallel". Did you mean "tensorParallel"/,
  );
  assert.match(refused({ contextToken: 9 })[0] ?? "", /Did you mean "contextTokens"/);
  assert.match(refused({ trustRemoteCode: true })[0] ?? "", /no key "trustRemoteCode"/);
  assert.match(refused({ kvCacheDtype: "int3" })[0] ?? "", /one of auto, bfloat16/);
  assert.match(refused({ gpuMemoryUtilization: 1 })[0] ?? "", /from 0.1 to 0.98/);
  assert.deepEqual(refused({ toolParser: "hermes", loraModules: ["a=b"], thinking: false }), []);
});

test("every key has one description, and only bounds or choices that its type can have", () => {
  const names = vllm.specKeys.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const key of vllm.specKeys) {
    assert.ok(key.description.endsWith("."), key.name);
    if (key.type === "int" || key.type === "number")
      assert.ok(key.min !== undefined && key.max !== undefined);
  }
});
