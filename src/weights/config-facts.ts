/** Facts of safetensors weights, from the config.json beside them. */
import { z } from "zod";
import { StatusError } from "../base/status.ts";
import type { GgufFacts } from "./gguf-head.ts";

const figure = z
  .number()
  .int()
  .min(0)
  .max(2 ** 31)
  .optional()
  .catch(undefined);

/** The names that the transformers library uses, and those of older families. */
const shape = {
  hidden_size: figure,
  n_embd: figure,
  d_model: figure,
  num_hidden_layers: figure,
  n_layer: figure,
  num_layers: figure,
  num_attention_heads: figure,
  n_head: figure,
  num_key_value_heads: figure,
  head_dim: figure,
  max_position_embeddings: figure,
  n_positions: figure,
  max_seq_len: figure,
  vocab_size: figure,
};
const schema = z.object({
  ...shape,
  model_type: z.string().optional().catch(undefined),
  text_config: z.object(shape).optional().catch(undefined),
});

/** Throws WEIGHTS_UNSUPPORTED when the text is no JSON object. What the file does not tell is 0. */
export function configFacts(text: string): GgufFacts {
  const parsed = schema.safeParse(parseJson(text));
  if (!parsed.success) {
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "WEIGHTS_UNSUPPORTED",
      message: "The repository's config.json can't be read.",
    });
  }
  // Models that also see or hear keep the language model's figures apart.
  const config = { ...parsed.data, ...parsed.data.text_config };
  const heads = config.num_attention_heads ?? config.n_head ?? 0;
  const embedding = config.hidden_size ?? config.n_embd ?? config.d_model ?? 0;
  return {
    architecture: parsed.data.model_type ?? "",
    layers: config.num_hidden_layers ?? config.n_layer ?? config.num_layers ?? 0,
    embedding,
    heads,
    headsKv: config.num_key_value_heads ?? heads,
    headSize: config.head_dim ?? (heads > 0 ? Math.floor(embedding / heads) : 0),
    contextMax: config.max_position_embeddings ?? config.n_positions ?? config.max_seq_len ?? 0,
    vocabulary: config.vocab_size ?? 0,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
