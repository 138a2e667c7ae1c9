/** How a model's layers keep keys and values, and what it is made of, from its config.json. */
import { z } from "zod";
import type { AttentionGroup, ModelDetails } from "../engines/engine.ts";

/** More layers than any model has; a list beyond it is a broken file's. */
const LAYERS_MAX = 4_096;

const figure = z
  .number()
  .int()
  .min(0)
  .max(2 ** 31)
  .optional()
  .catch(undefined);
const text = z.string().max(128).optional().catch(undefined);

const shape = {
  num_hidden_layers: figure,
  n_layer: figure,
  num_layers: figure,
  hidden_size: figure,
  n_embd: figure,
  d_model: figure,
  num_attention_heads: figure,
  n_head: figure,
  num_key_value_heads: figure,
  head_dim: figure,
  /** MLA: one compressed vector for keys and values, and the rotary part of the key. */
  kv_lora_rank: figure,
  qk_rope_head_dim: figure,
  sliding_window: figure,
  /** Llama 4: layers that look back no further than the beginning of their chunk. */
  attention_chunk_size: figure,
  use_sliding_window: z.boolean().optional().catch(undefined),
  /** Qwen2: the layers from this one on slide. */
  max_window_layers: figure,
  /** Gemma 2 and 3, Cohere: every so-manieth layer is a full one. */
  sliding_window_pattern: figure,
  layer_types: z.array(z.string().max(64)).max(LAYERS_MAX).optional().catch(undefined),
  /** Qwen3-Next and its kin: every so-manieth layer is a full one, the others keep a constant state. */
  full_attention_interval: figure,
  /** Gemma 4: full layers have other heads than sliding ones. */
  num_global_key_value_heads: figure,
  global_head_dim: figure,
  num_experts: figure,
  num_local_experts: figure,
  n_routed_experts: figure,
  dtype: text,
  torch_dtype: text,
};
type Shape = z.infer<z.ZodObject<typeof shape>>;

const quantization = z.object({ quant_method: text }).optional().catch(undefined);
const schema = z.object({
  ...shape,
  architectures: z.array(z.string().max(128)).max(16).optional().catch(undefined),
  quantization_config: quantization,
  text_config: z
    .object({ ...shape, quantization_config: quantization })
    .optional()
    .catch(undefined),
});

/** Of a text that `configFacts` takes; what the file does not tell is "", 0 or an empty list. */
export function modelDetails(json: string): ModelDetails {
  const parsed = schema.safeParse(JSON.parse(json));
  if (!parsed.success) return { architectures: [], dtype: "", quantization: "", experts: 0, attention: [] };
  // Models that also see or hear keep the language model's figures apart.
  const config = { ...parsed.data, ...parsed.data.text_config };
  return {
    architectures: parsed.data.architectures ?? [],
    dtype: config.dtype ?? config.torch_dtype ?? parsed.data.dtype ?? parsed.data.torch_dtype ?? "",
    quantization: (config.quantization_config ?? parsed.data.quantization_config)?.quant_method ?? "",
    experts: config.num_experts ?? config.num_local_experts ?? config.n_routed_experts ?? 0,
    attention: attentionOf(config),
  };
}

function attentionOf(config: Shape): readonly AttentionGroup[] {
  const kinds = layerKinds(config);
  const count = (kind: LayerKind): number => kinds.filter((one) => one === kind).length;
  const groups = [full(config, count("full")), sliding(config, count("sliding"))];
  return groups.filter((group) => group.layers > 0);
}

type LayerKind = "full" | "sliding" | "constant";

function layerKinds(config: Shape): readonly LayerKind[] {
  if (config.layer_types) return config.layer_types.map(kindOf);
  const layers = Math.min(config.num_hidden_layers ?? config.n_layer ?? config.num_layers ?? 0, LAYERS_MAX);
  return Array.from({ length: layers }, (_, index) => kindAt(config, index));
}

function kindOf(name: string): LayerKind {
  if (/sliding|chunked/.test(name)) return "sliding";
  return /linear|mamba|recurrent|conv/.test(name) ? "constant" : "full";
}

function kindAt(config: Shape, index: number): LayerKind {
  const every = (interval: number): boolean => interval > 0 && (index + 1) % interval === 0;
  if (config.full_attention_interval !== undefined) {
    return every(config.full_attention_interval) ? "full" : "constant";
  }
  if ((config.sliding_window ?? 0) === 0 || config.use_sliding_window === false) return "full";
  if (config.sliding_window_pattern !== undefined) {
    return every(config.sliding_window_pattern) ? "full" : "sliding";
  }
  return index < (config.max_window_layers ?? 0) ? "full" : "sliding";
}

function full(config: Shape, layers: number): AttentionGroup {
  if (config.kv_lora_rank !== undefined && config.kv_lora_rank > 0) {
    const size = config.kv_lora_rank + (config.qk_rope_head_dim ?? 0);
    return { layers, vectors: 1, size, latent: true, window: 0 };
  }
  const heads = config.num_global_key_value_heads ?? headsKv(config);
  const size = config.global_head_dim ?? headSize(config);
  return { layers, vectors: 2 * heads, size, latent: false, window: 0 };
}

function sliding(config: Shape, layers: number): AttentionGroup {
  return {
    layers,
    vectors: 2 * headsKv(config),
    size: headSize(config),
    latent: false,
    window: config.sliding_window ?? config.attention_chunk_size ?? 0,
  };
}

function headsKv(config: Shape): number {
  return config.num_key_value_heads ?? config.num_attention_heads ?? config.n_head ?? 0;
}

function headSize(config: Shape): number {
  const heads = config.num_attention_heads ?? config.n_head ?? 0;
  const embedding = config.hidden_size ?? config.n_embd ?? config.d_model ?? 0;
  return config.head_dim ?? (heads > 0 ? Math.floor(embedding / heads) : 0);
}
