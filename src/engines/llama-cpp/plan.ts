/** From (weights, hardware, switches, modelSpec) to what a llama.cpp replica runs with and what fits. */
import type { EnginePlan, Fit, Hardware, SpecValues, Switches, WeightsFacts } from "../engine.ts";
import { CONTEXT_STEP_TOKENS, type MemoryShape, memoryLines, totalBytes } from "./memory.ts";
import { SEQUENCES_MAX, THREADS_MAX } from "./spec-keys.ts";

/** Long enough for a conversation with some documents; more is a choice, since every sequence pays for it. */
const CONTEXT_DEFAULT_TOKENS = 8_192;
const SEQUENCES_DEFAULT = 4;
/**
 * Half of the cores, at most these: llama.cpp's threads wait for each other by spinning, so where anything else runs on the
 * last core (the gateway does) one thread more makes every token slower. Who has the cores sets `threads`.
 */
const THREADS_DEFAULT_MAX = 4;
/** Weights this small are evaluated faster by one thread than several take to meet. */
const SINGLE_THREAD_BYTES = 64 * 1024 * 1024;
/**
 * Prompt tokens that one step evaluates. On a CPU larger batches gain little, cost memory for their logits, and let a long
 * prompt hold up the other sequences and its own cancellation.
 */
const BATCH_TOKENS = 256;
/** Texts that are embedded are short; a longer one is refused. */
const EMBEDDING_TOKENS = 2_048;

/** What the engine process gets as `options`. */
interface LlamaCppOptions {
  readonly threads: number;
  readonly batchTokens: number;
  readonly embeddingTokens: number;
  /** Reuse of evaluated prompts between requests (`kvCacheEnabled`). */
  readonly prefixCache: boolean;
}

/**
 * Models whose arithmetic is another one: without a KV cache that grows with the context, or without a text output. They
 * are refused rather than planned wrongly.
 */
const ARCHITECTURES_REFUSED =
  /^(mamba|mamba2|rwkv.*|arwkv.*|bert|modern-bert|nomic-bert.*|jina-bert.*|neo-bert|eurobert|gemma-embedding|t5|t5encoder|wavtokenizer.*|clip|mmproj)$/;

/** True for GGUF weights of a text-generating transformer on a CPU replica. */
export function supports(weights: WeightsFacts, hardware: Hardware): boolean {
  const shaped = [weights.layers, weights.headsKv, weights.headSize, weights.contextMax].every(
    (size) => size > 0,
  );
  return (
    weights.format === "gguf" &&
    hardware.gpuCount === 0 &&
    shaped &&
    !ARCHITECTURES_REFUSED.test(weights.architecture.toLowerCase())
  );
}

/** The memory plan, line by line. A context beyond what the model was trained for is cut to that. */
export function fit(weights: WeightsFacts, hardware: Hardware, _switches: Switches, spec: SpecValues): Fit {
  const contextMaxTokens = largestContext(weights, hardware, spec);
  const wanted = number(spec, "contextTokens") ?? Math.min(CONTEXT_DEFAULT_TOKENS, contextMaxTokens);
  const contextTokens = Math.min(wanted > 0 ? wanted : CONTEXT_STEP_TOKENS, weights.contextMax);
  const lines = memoryLines(weights, memoryShape(contextTokens, spec));
  return {
    fits: totalBytes(lines) <= hardware.cpuMemoryBytes,
    availableBytes: hardware.cpuMemoryBytes,
    lines,
    contextMaxTokens,
    contextTokens,
  };
}

/** What the driver starts. The KV cache lives in CPU memory already, so `cpuOffloadingEnabled` changes nothing. */
export function plan(
  weights: WeightsFacts,
  hardware: Hardware,
  switches: Switches,
  spec: SpecValues,
): EnginePlan {
  const planned = fit(weights, hardware, switches, spec);
  const shape = memoryShape(planned.contextTokens, spec);
  const options: LlamaCppOptions = {
    threads: Math.min(number(spec, "threads") ?? defaultThreads(weights, hardware), THREADS_MAX),
    batchTokens: shape.batchTokens,
    embeddingTokens: shape.embeddingTokens,
    prefixCache: switches.kvCacheEnabled,
  };
  return {
    engine: "llama.cpp",
    options: { ...options },
    contextTokens: planned.contextTokens,
    sequencesMax: shape.sequences,
    memoryBytes: totalBytes(planned.lines),
  };
}

function defaultThreads(weights: WeightsFacts, hardware: Hardware): number {
  if (weights.sizeBytes < SINGLE_THREAD_BYTES) return 1;
  return Math.max(1, Math.min(THREADS_DEFAULT_MAX, Math.floor(hardware.cpuCount / 2)));
}

/** The longest context of whole steps whose plan fits, at most the model's own; 0 when none does. */
function largestContext(weights: WeightsFacts, hardware: Hardware, spec: SpecValues): number {
  const fits = (tokens: number): boolean =>
    totalBytes(memoryLines(weights, memoryShape(tokens, spec))) <= hardware.cpuMemoryBytes;
  let low = 0;
  let high = Math.ceil(weights.contextMax / CONTEXT_STEP_TOKENS);
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (fits(middle * CONTEXT_STEP_TOKENS)) low = middle;
    else high = middle - 1;
  }
  return Math.min(low * CONTEXT_STEP_TOKENS, weights.contextMax);
}

function memoryShape(contextTokens: number, spec: SpecValues): MemoryShape {
  return {
    contextTokens,
    sequences: Math.min(number(spec, "sequencesMax") ?? SEQUENCES_DEFAULT, SEQUENCES_MAX),
    batchTokens: BATCH_TOKENS,
    embeddingTokens: Math.min(EMBEDDING_TOKENS, contextTokens),
  };
}

function number(spec: SpecValues, key: string): number | undefined {
  const value = spec[key];
  return typeof value === "number" ? value : undefined;
}
