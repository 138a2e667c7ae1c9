/**
 * How much memory one GPU of a vLLM replica takes, in bytes, from the model's shape. vLLM measures while it starts and gives what
 * is left to the KV cache; this is that calculation beforehand. The overhead is what published runs imply (see the tests).
 */
import type { AttentionGroup, FitLine, WeightsFacts } from "../engine.ts";

/** The settings that memory depends on. */
export interface MemoryShape {
  readonly tensorParallel: number;
  readonly pipelineParallel: number;
  readonly contextTokens: number;
  /** Tokens of one step: layers with a window keep that many more while a long prompt is read. */
  readonly batchedTokens: number;
  /** Of one element of the KV cache: 2, or 1 with fp8. */
  readonly kvElementBytes: number;
  /** Bytes of the weights as loaded over bytes on disk: 0.5 where 16-bit weights become 8-bit ones. */
  readonly weightsShare: number;
  /** Share of a GPU's memory that vLLM takes. */
  readonly utilization: number;
  readonly loraSlots: number;
  readonly loraRank: number;
}

/**
 * Activations, CUDA graphs, NCCL, the CUDA context. Published runs on H100 imply 5.6 to 7.0 GiB; the rest is margin, so that a
 * plan that fits also starts.
 */
export const OVERHEAD_BYTES = 7 * 2 ** 30;
export const MARGIN_BYTES = 2 ** 30;

/** vLLM's pages hold so many tokens of one layer. */
export const BLOCK_TOKENS = 16;

/** Every line of one GPU's plan; their sum is what it needs. */
export function memoryLines(weights: WeightsFacts, gpuMemoryBytes: number, shape: MemoryShape): FitLine[] {
  const { tensorParallel, pipelineParallel, contextTokens } = shape;
  const parts = tensorParallel * pipelineParallel;
  const lines = [
    { item: `Left to others: 1 - utilization ${shape.utilization}`, bytes: keptFree(gpuMemoryBytes, shape) },
    {
      item: `Weights over tensor parallel ${tensorParallel} × pipeline parallel ${pipelineParallel}`,
      bytes: Math.ceil((weights.sizeBytes * shape.weightsShare) / parts),
    },
    { item: "Activations, CUDA graphs, communication", bytes: OVERHEAD_BYTES },
    { item: "Margin", bytes: MARGIN_BYTES },
  ];
  if (shape.loraSlots > 0) {
    const bytes = loraBytes(weights, shape);
    lines.push({ item: `LoRA: ${shape.loraSlots} adapters of rank ${shape.loraRank}`, bytes });
  }
  const groups = attentionOf(weights).map((group) => ({
    item: kvItem(group, contextTokens),
    bytes: groupBytes(group, shape, contextTokens),
  }));
  return [...lines, ...groups];
}

export function totalBytes(lines: readonly FitLine[]): number {
  return lines.reduce((sum, line) => sum + line.bytes, 0);
}

/** The KV cache that vLLM makes of what is left, and how far it goes. */
export interface KvPool {
  /** Of one GPU. */
  readonly bytes: number;
  /** Tokens of the replica, if all are of requests as long as the context. */
  readonly tokens: number;
  /** Requests of the whole context that run at once; below 1 vLLM does not start. */
  readonly concurrency: number;
}

/** `overheadBytes`: default the planned one with its margin. */
export function kvPool(
  weights: WeightsFacts,
  gpuMemoryBytes: number,
  shape: MemoryShape,
  overheadBytes = OVERHEAD_BYTES + MARGIN_BYTES,
): KvPool {
  const parts = shape.tensorParallel * shape.pipelineParallel;
  const taken =
    keptFree(gpuMemoryBytes, shape) +
    (weights.sizeBytes * shape.weightsShare) / parts +
    overheadBytes +
    loraBytes(weights, shape);
  const bytes = Math.max(0, Math.floor(gpuMemoryBytes - taken));
  const request = sequenceBytes(weights, shape, shape.contextTokens);
  const concurrency = request > 0 ? bytes / request : 0;
  return { bytes, tokens: Math.floor(concurrency * shape.contextTokens), concurrency };
}

/** Keys and values of one request on one GPU. */
export function sequenceBytes(weights: WeightsFacts, shape: MemoryShape, tokens: number): number {
  return attentionOf(weights).reduce((sum, group) => sum + groupBytes(group, shape, tokens), 0);
}

/** The model's groups, or one of all layers where there was no config.json. */
export function attentionOf(weights: WeightsFacts): readonly AttentionGroup[] {
  const told = weights.model?.attention ?? [];
  if (told.length > 0) return told;
  const { layers, headsKv, headSize } = weights;
  return [{ layers, vectors: 2 * headsKv, size: headSize, latent: false, window: 0 }];
}

/**
 * layers × vectors × size × tokens × bytes, on one GPU: layers are dealt out to the pipeline's parts, KV heads to the tensor
 * parallel ones (copied where there are more parts than heads), a latent vector is on all of them.
 */
export function groupBytes(group: AttentionGroup, shape: MemoryShape, tokens: number): number {
  const layers = Math.ceil(group.layers / shape.pipelineParallel);
  const perToken = layers * vectorsHere(group, shape.tensorParallel) * group.size * shape.kvElementBytes;
  return perToken * toBlocks(tokensKept(group, tokens, shape.batchedTokens));
}

function vectorsHere(group: AttentionGroup, tensorParallel: number): number {
  if (group.latent) return group.vectors;
  return 2 * Math.ceil(group.vectors / 2 / tensorParallel);
}

function tokensKept(group: AttentionGroup, tokens: number, batchedTokens: number): number {
  return group.window === 0 ? tokens : Math.min(tokens, group.window + batchedTokens);
}

function toBlocks(tokens: number): number {
  return Math.ceil(tokens / BLOCK_TOKENS) * BLOCK_TOKENS;
}

function kvItem(group: AttentionGroup, contextTokens: number): string {
  const what = group.latent ? "latent attention" : `${group.vectors / 2} KV heads of ${group.size}`;
  const reach = group.window === 0 ? `${contextTokens} tokens` : `a window of ${group.window} tokens`;
  return `KV cache of one request: ${group.layers} layers, ${what}, ${reach}`;
}

function keptFree(gpuMemoryBytes: number, shape: MemoryShape): number {
  return Math.ceil(gpuMemoryBytes * (1 - shape.utilization));
}

/**
 * Two thin matrices beside each of a layer's seven linear ones. Their widths sum to some 20 embeddings in a dense model of
 * grouped heads; 24 is an upper bound for the usual ones.
 */
const LORA_WIDTHS = 24;
const LORA_ELEMENT_BYTES = 2;

function loraBytes(weights: WeightsFacts, shape: MemoryShape): number {
  const adapter = shape.loraRank * LORA_WIDTHS * weights.embedding * weights.layers * LORA_ELEMENT_BYTES;
  return Math.ceil((shape.loraSlots * adapter) / shape.pipelineParallel);
}
