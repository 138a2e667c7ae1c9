/**
 * How much memory one llama.cpp replica on a CPU takes, in bytes. The figures are those of llama.cpp's own allocations as
 * node-llama-cpp 3.22 makes them: every sequence has its own cells for the whole context, keys and values are 16-bit, and the
 * sliding-window saving of some models is switched off, since it would cost the reuse of long prefixes.
 */
import type { FitLine, WeightsFacts } from "../engine.ts";

/** The settings that memory depends on. */
export interface MemoryShape {
  readonly contextTokens: number;
  readonly sequences: number;
  readonly batchTokens: number;
  /** Context of the embedding side, which is allocated at the first embedding; 0 = none. */
  readonly embeddingTokens: number;
}

/** llama.cpp rounds a context up to this many tokens. */
export const CONTEXT_STEP_TOKENS = 256;

/** Node, the llama.cpp library, answers in flight, grammars: 150 MB measured when idle, 250 in use with a vocabulary of 262,144. */
const PROCESS_BYTES = 256 * 1024 * 1024;

/** The embedding side evaluates small batches, since it keeps the logits of every token. */
const EMBEDDING_BATCH_TOKENS = 64;

const VALUE_BYTES = 2; // 16-bit keys and values
const ACTIVATION_BYTES = 4; // 32-bit activations and logits

/** Every line of the plan; their sum is what the replica needs. */
export function memoryLines(weights: WeightsFacts, shape: MemoryShape): FitLine[] {
  const lines = [
    { item: "Weights", bytes: weights.sizeBytes },
    {
      item: `KV cache: ${shape.sequences} ${shape.sequences === 1 ? "sequence" : "sequences"} of ${shape.contextTokens} tokens`,
      bytes: shape.sequences * kvBytes(weights, shape.contextTokens),
    },
    {
      item: `Compute buffers: batches of ${shape.batchTokens} tokens`,
      bytes:
        computeBytes(weights, shape.contextTokens, shape.batchTokens) + outputBytes(weights, shape.sequences),
    },
  ];
  if (shape.embeddingTokens > 0) {
    const bytes =
      kvBytes(weights, shape.embeddingTokens) +
      computeBytes(weights, shape.embeddingTokens, EMBEDDING_BATCH_TOKENS) +
      outputBytes(weights, EMBEDDING_BATCH_TOKENS);
    lines.push({ item: `Embeddings: one sequence of ${shape.embeddingTokens} tokens`, bytes });
  }
  return [...lines, { item: "Engine process", bytes: PROCESS_BYTES }];
}

export function totalBytes(lines: readonly FitLine[]): number {
  return lines.reduce((sum, line) => sum + line.bytes, 0);
}

/** Keys and values of one sequence: 2 × layers × KV heads × head size × tokens × 2 bytes. */
export function kvBytes(weights: WeightsFacts, contextTokens: number): number {
  return 2 * weights.layers * weights.headsKv * weights.headSize * allocated(contextTokens) * VALUE_BYTES;
}

/**
 * Scratch of one batch: per token the attention mask (16-bit, over the context) and the larger of the logits and the widest
 * layer. An upper bound, found by varying shapes against llama.cpp's own report: exact where the logits are widest (every large
 * vocabulary), too large elsewhere. The feed-forward width, which the facts don't hold, is taken as six times the embedding.
 */
export function computeBytes(weights: WeightsFacts, contextTokens: number, batchTokens: number): number {
  const mask = 2 * allocated(contextTokens);
  const logits = ACTIVATION_BYTES * (weights.vocabulary + 5 * weights.embedding);
  const layer = ACTIVATION_BYTES * 22 * weights.embedding;
  return batchTokens * (mask + Math.max(logits, layer) + 64);
}

/** Logits and embedding that are kept for each token whose result is wanted. */
function outputBytes(weights: WeightsFacts, tokens: number): number {
  return ACTIVATION_BYTES * tokens * (weights.vocabulary + weights.embedding);
}

function allocated(contextTokens: number): number {
  return Math.ceil(contextTokens / CONTEXT_STEP_TOKENS) * CONTEXT_STEP_TOKENS;
}
