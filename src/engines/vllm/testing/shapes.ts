/** Shapes of public models as their config.json files tell them, for tests. */
import type { AttentionGroup, Hardware, ModelDetails, WeightsFacts } from "../../engine.ts";
import type { MemoryShape } from "../memory.ts";

export const GIB = 2 ** 30;

interface Shape {
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  readonly headsKv: number;
  readonly headSize: number;
  readonly contextMax: number;
  readonly sizeBytes: number;
  readonly architecture: string;
  readonly className: string;
  readonly experts?: number;
  readonly quantization?: string;
  readonly attention?: readonly AttentionGroup[];
}

/** Layers of grouped heads; `window` 0 = full. */
export function grouped(layers: number, headsKv: number, size: number, window = 0): AttentionGroup {
  return { layers, vectors: 2 * headsKv, size, latent: false, window };
}

/** Layers that keep one latent vector. */
export function latent(layers: number, size: number): AttentionGroup {
  return { layers, vectors: 1, size, latent: true, window: 0 };
}

export function weightsOf(shape: Shape): WeightsFacts {
  const { layers, embedding, heads, headsKv, headSize, contextMax, architecture } = shape;
  const sizeBytes = Math.round(shape.sizeBytes);
  const model: ModelDetails = {
    architectures: [shape.className],
    dtype: "bfloat16",
    quantization: shape.quantization ?? "",
    experts: shape.experts ?? 0,
    attention: shape.attention ?? [grouped(layers, headsKv, headSize)],
  };
  const size = { layers, embedding, heads, headsKv, headSize, contextMax, sizeBytes };
  const base = { source: "org/repo", revision: "abc", files: [], format: "safetensors" as const };
  return { ...base, ...size, architecture, vocabulary: 151_936, model };
}

export const QWEN3_8B = weightsOf({
  layers: 36,
  embedding: 4096,
  heads: 32,
  headsKv: 8,
  headSize: 128,
  contextMax: 40_960,
  sizeBytes: 15.26 * GIB,
  architecture: "qwen3",
  className: "Qwen3ForCausalLM",
});

export const QWEN3_32B = weightsOf({
  layers: 64,
  embedding: 5120,
  heads: 64,
  headsKv: 8,
  headSize: 128,
  contextMax: 40_960,
  sizeBytes: 2 * 32.76e9,
  architecture: "qwen3",
  className: "Qwen3ForCausalLM",
});

export const LLAMA_70B = weightsOf({
  layers: 80,
  embedding: 8192,
  heads: 64,
  headsKv: 8,
  headSize: 128,
  contextMax: 131_072,
  sizeBytes: 2 * 70.55e9,
  architecture: "llama",
  className: "LlamaForCausalLM",
});

export const GPT_OSS_20B = weightsOf({
  layers: 24,
  embedding: 2880,
  heads: 64,
  headsKv: 8,
  headSize: 64,
  contextMax: 131_072,
  sizeBytes: 13.8e9,
  architecture: "gpt_oss",
  className: "GptOssForCausalLM",
  experts: 32,
  quantization: "mxfp4",
  attention: [grouped(12, 8, 64), grouped(12, 8, 64, 128)],
});

export const DEEPSEEK_V3 = weightsOf({
  layers: 61,
  embedding: 7168,
  heads: 128,
  headsKv: 128,
  headSize: 56,
  contextMax: 163_840,
  sizeBytes: 689e9,
  architecture: "deepseek_v3",
  className: "DeepseekV3ForCausalLM",
  experts: 256,
  quantization: "fp8",
  attention: [latent(61, 576)],
});

export const GEMMA_31B = weightsOf({
  layers: 60,
  embedding: 5376,
  heads: 32,
  headsKv: 16,
  headSize: 256,
  contextMax: 262_144,
  sizeBytes: 62e9,
  architecture: "gemma4",
  className: "Gemma4ForConditionalGeneration",
  attention: [grouped(10, 4, 512), grouped(50, 16, 256, 1024)],
});

/** What a H100 with 80 GB leaves to programs, by the published runs. */
export const H100_BYTES = Math.round(79.1 * GIB);

export function gpus(gpuCount: number, nodes?: number): Hardware {
  return {
    gpuType: "H100",
    gpuCount,
    gpuMemoryBytes: H100_BYTES,
    cpuMemoryBytes: 512 * GIB,
    cpuCount: 64,
    ...(nodes === undefined ? {} : { nodes }),
  };
}

export const CPU: Hardware = {
  gpuType: "UNSPECIFIED",
  gpuCount: 0,
  gpuMemoryBytes: 0,
  cpuMemoryBytes: 16 * GIB,
  cpuCount: 4,
};

export function memoryShape(changes: Partial<MemoryShape> = {}): MemoryShape {
  return {
    tensorParallel: 1,
    pipelineParallel: 1,
    contextTokens: 40_960,
    batchedTokens: 0,
    kvElementBytes: 2,
    weightsShare: 1,
    utilization: 0.9,
    loraSlots: 0,
    loraRank: 16,
    ...changes,
  };
}
