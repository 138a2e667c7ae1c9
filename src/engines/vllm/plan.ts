/** From (weights, hardware, switches, modelSpec) to what a vLLM replica runs with and what fits. */
import type { EnginePlan, Fit, FitLine, Hardware, SpecValues, Switches, WeightsFacts } from "../engine.ts";
import { parsersOf } from "./families.ts";
import { BLOCK_TOKENS, type MemoryShape, memoryLines, sequenceBytes, totalBytes } from "./memory.ts";
import type { VllmOptions } from "./options.ts";
import { type Parallel, parallelOf } from "./parallel.ts";
import { flagOf, numberOf, textOf, textsOf } from "./spec-values.ts";

const GIB = 2 ** 30;
const UTILIZATION_DEFAULT = 0.92;
const SEQUENCES_DEFAULT = 256;
/** On CPUs each waits for the others' arithmetic; the cache is sized for these. */
const CPU_SEQUENCES_DEFAULT = 4;
const BATCHED_TOKENS_DEFAULT = 8_192;
const LORA_RANK_DEFAULT = 16;
/** On CPUs, where main memory holds weights and cache alike, no longer context is taken unasked. */
const CPU_CONTEXT_DEFAULT_TOKENS = 8_192;
/** Its three processes with torch in each: 4.1 GB measured, beside weights and cache. */
const CPU_PROCESS_BYTES = 4.5 * GIB;
/** Half of a node's main memory: the rest is for loading weights, the processes and the page cache. */
const OFFLOAD_SHARE = 0.5;
/**
 * Of a mixture of experts that is spread by experts, what every copy has whole. An estimate: of the public ones, experts are
 * 93 to 98 % of the weights.
 */
const SHARED_SHARE = 0.1;

/** True for safetensors of a transformer whose shape is known. */
export function supports(weights: WeightsFacts, hardware: Hardware): boolean {
  const shaped = [weights.layers, weights.heads, weights.headSize, weights.contextMax].every(
    (size) => size > 0,
  );
  return (
    weights.format === "safetensors" && shaped && (hardware.gpuCount === 0 || hardware.gpuMemoryBytes > 0)
  );
}

/** The memory plan of one GPU, or of the machine of a CPU replica. A context beyond the model's own is cut to that. */
export function fit(weights: WeightsFacts, hardware: Hardware, _switches: Switches, spec: SpecValues): Fit {
  const onCpu = hardware.gpuCount === 0;
  const availableBytes = onCpu ? hardware.cpuMemoryBytes : hardware.gpuMemoryBytes;
  const lines = (tokens: number): FitLine[] => linesAt(weights, hardware, spec, tokens);
  const contextMaxTokens = largestContext(weights, (tokens) => totalBytes(lines(tokens)) <= availableBytes);
  const unasked = onCpu ? Math.min(contextMaxTokens, CPU_CONTEXT_DEFAULT_TOKENS) : contextMaxTokens;
  const wanted = numberOf(spec, "contextTokens") ?? unasked;
  const contextTokens = Math.min(wanted > 0 ? wanted : BLOCK_TOKENS, weights.contextMax);
  const planned = lines(contextTokens);
  const fits = totalBytes(planned) <= availableBytes;
  const of = onCpu ? {} : { of: "gpu" as const };
  return { ...of, fits, availableBytes, lines: planned, contextMaxTokens, contextTokens };
}

/** What a driver starts; `command` makes the command line of it. */
export function plan(
  weights: WeightsFacts,
  hardware: Hardware,
  switches: Switches,
  spec: SpecValues,
): EnginePlan {
  const { contextTokens, lines } = fit(weights, hardware, switches, spec);
  const sequencesMax = sequencesOf(hardware, spec);
  const options: VllmOptions = {
    device: hardware.gpuCount === 0 ? "cpu" : "cuda",
    ...parallelOptions(parallelOf(weights, hardware, spec)),
    ...cacheOptions(weights, hardware, switches, spec, contextTokens),
    ...parserOptions(weights, spec),
    dtype: textOf(spec, "dtype") ?? (hardware.gpuCount === 0 ? "bfloat16" : "auto"),
    quantization: textOf(spec, "quantization") ?? "",
    gpuMemoryUtilization: utilizationOf(spec),
    batchedTokens: batchedOf(spec),
    loraModules: [...textsOf(spec, "loraModules")],
    loraRankMax: numberOf(spec, "loraRankMax") ?? LORA_RANK_DEFAULT,
    enforceEager: flagOf(spec, "enforceEager") ?? hardware.gpuCount === 0,
    kvEvents: flagOf(spec, "kvEvents") ?? false,
    weightsBytes: weights.sizeBytes,
    cpuThreads: Math.max(1, hardware.cpuCount),
  };
  return { engine: "vllm", options, contextTokens, sequencesMax, memoryBytes: totalBytes(lines) };
}

function parallelOptions(parallel: Parallel) {
  return {
    tensorParallel: parallel.tensor,
    pipelineParallel: parallel.pipeline,
    dataParallel: parallel.data,
    expertParallel: parallel.experts,
    nodes: parallel.nodes,
  };
}

function cacheOptions(
  weights: WeightsFacts,
  hardware: Hardware,
  switches: Switches,
  spec: SpecValues,
  contextTokens: number,
) {
  const offload = switches.cpuOffloadingEnabled && switches.kvCacheEnabled && hardware.gpuCount > 0;
  const backend: "lmcache" | "native" = textOf(spec, "kvOffloadBackend") === "native" ? "native" : "lmcache";
  const half = Math.floor((hardware.cpuMemoryBytes * OFFLOAD_SHARE) / GIB) * (hardware.nodes ?? 1);
  return {
    prefixCache: switches.kvCacheEnabled,
    kvCacheDtype: textOf(spec, "kvCacheDtype") ?? "auto",
    offload: offload ? backend : ("" as const),
    offloadGiB: offload ? (numberOf(spec, "kvOffloadGiB") ?? Math.max(1, half)) : 0,
    cpuKvGiB: hardware.gpuCount === 0 ? cpuKvGiB(weights, hardware, spec, contextTokens) : 0,
  };
}

function parserOptions(weights: WeightsFacts, spec: SpecValues) {
  const own = parsersOf(weights);
  const chosen = (key: string, known: string): string => {
    const asked = textOf(spec, key) ?? known;
    return asked === "none" ? "" : asked;
  };
  const toolParser = chosen("toolParser", own.tool);
  const thinking = flagOf(spec, "thinking");
  return {
    toolParser,
    reasoningParser: chosen("reasoningParser", own.reasoning),
    toolTemplate: toolParser === own.tool ? own.template : "",
    thinking: thinking === undefined ? ("" as const) : thinking ? ("on" as const) : ("off" as const),
  };
}

function linesAt(weights: WeightsFacts, hardware: Hardware, spec: SpecValues, tokens: number): FitLine[] {
  if (hardware.gpuCount > 0) {
    return memoryLines(weights, hardware.gpuMemoryBytes, memoryShape(weights, hardware, spec, tokens));
  }
  const gib = cpuKvGiB(weights, hardware, spec, tokens);
  return [
    { item: "Weights", bytes: weights.sizeBytes },
    {
      item: `KV cache, in whole GiB, for ${CPU_SEQUENCES_DEFAULT} requests of ${tokens} tokens at most`,
      bytes: gib * GIB,
    },
    { item: "Engine processes", bytes: CPU_PROCESS_BYTES },
  ];
}

/** vLLM on CPUs takes its cache in whole GiB. */
function cpuKvGiB(weights: WeightsFacts, hardware: Hardware, spec: SpecValues, tokens: number): number {
  const one = sequenceBytes(weights, memoryShape(weights, hardware, spec, tokens), tokens);
  const sequences = Math.min(sequencesOf(hardware, spec), CPU_SEQUENCES_DEFAULT);
  return Math.max(1, Math.ceil((one * sequences) / GIB));
}

function memoryShape(
  weights: WeightsFacts,
  hardware: Hardware,
  spec: SpecValues,
  contextTokens: number,
): MemoryShape {
  const parallel = parallelOf(weights, hardware, spec);
  return {
    tensorParallel: parallel.tensor,
    pipelineParallel: parallel.pipeline,
    contextTokens,
    batchedTokens: batchedOf(spec),
    kvElementBytes: (textOf(spec, "kvCacheDtype") ?? "").startsWith("fp8") ? 1 : 2,
    weightsShare: quantizedShare(weights, spec) * spreadShare(parallel),
    utilization: utilizationOf(spec),
    loraSlots: textsOf(spec, "loraModules").length,
    loraRank: numberOf(spec, "loraRankMax") ?? LORA_RANK_DEFAULT,
  };
}

/** 16-bit weights become 8-bit ones while they load; embeddings and the output layer, a few percent, stay. */
function quantizedShare(weights: WeightsFacts, spec: SpecValues): number {
  const unquantized = (weights.model?.quantization ?? "") === "";
  return textOf(spec, "quantization") === "fp8" && unquantized ? 0.55 : 1;
}

function spreadShare({ data, experts }: Parallel): number {
  return experts && data > 1 ? SHARED_SHARE + (1 - SHARED_SHARE) / data : 1;
}

function utilizationOf(spec: SpecValues): number {
  return numberOf(spec, "gpuMemoryUtilization") ?? UTILIZATION_DEFAULT;
}

function batchedOf(spec: SpecValues): number {
  return numberOf(spec, "batchedTokens") ?? BATCHED_TOKENS_DEFAULT;
}

function sequencesOf(hardware: Hardware, spec: SpecValues): number {
  return (
    numberOf(spec, "sequencesMax") ?? (hardware.gpuCount === 0 ? CPU_SEQUENCES_DEFAULT : SEQUENCES_DEFAULT)
  );
}

/** The longest context of whole pages that fits, at most the model's own; 0 when none does. */
function largestContext(weights: WeightsFacts, fits: (tokens: number) => boolean): number {
  let low = 0;
  let high = Math.ceil(weights.contextMax / BLOCK_TOKENS);
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(middle * BLOCK_TOKENS)) low = middle;
    else high = middle - 1;
  }
  return Math.min(low * BLOCK_TOKENS, weights.contextMax);
}
