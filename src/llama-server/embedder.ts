/** Embeddings, by a context of their own that is created when the first one is asked for. */
import type { LlamaEmbeddingContext, LlamaModel, Token } from "node-llama-cpp";
import { StatusError } from "../base/status.ts";

export interface Embedder {
  /** Most tokens of one text; 0 when embeddings are off. */
  readonly tokensMax: number;
  readonly dimensions: number;
  /** The vector of one text, of length 1. The tokens must be fewer than tokensMax. */
  embed(tokens: readonly Token[]): Promise<number[]>;
  dispose(): Promise<void>;
}

/** Small, since every token of a batch gets logits here, wanted or not. The plan of the engine counts on it. */
const BATCH_TOKENS = 64;
/** Texts that may wait: they are evaluated one after the other. */
const WAITING_MAX = 256;

export function createEmbedder(
  model: LlamaModel,
  options: { readonly threads: number },
  tokensMax: number,
): Embedder {
  let context: Promise<LlamaEmbeddingContext> | undefined;
  let waiting = 0;
  const create = () =>
    model.createEmbeddingContext({
      contextSize: tokensMax,
      batchSize: BATCH_TOKENS,
      threads: options.threads,
      ignoreMemorySafetyChecks: true,
    });
  return {
    tokensMax,
    dimensions: model.embeddingVectorSize,
    async embed(tokens) {
      if (waiting >= WAITING_MAX) throw busy();
      waiting++;
      try {
        context ??= create();
        const { vector } = await (await context).getEmbeddingFor([...tokens]);
        return normalised(vector);
      } finally {
        waiting--;
      }
    },
    async dispose() {
      await (await context)?.dispose();
    },
  };
}

function normalised(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector);
  return length === 0 ? [...vector] : vector.map((value) => value / length);
}

function busy(): StatusError {
  return new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "RATE_LIMITED",
    message: `${WAITING_MAX} texts wait to be embedded already. Try again shortly.`,
    retryAfterMs: 1_000,
  });
}
