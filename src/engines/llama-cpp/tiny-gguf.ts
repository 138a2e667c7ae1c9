/**
 * A tiny llama model with random weights, made on the spot: under 1 MB, the same bytes for the same seed, loaded by the real
 * llama.cpp in milliseconds. Its answers are readable common words and mean nothing; everything around them is real. What it
 * holds is made here, so the file is free of other people's licences (CC0).
 */
import { type GgufTensor, type GgufValue, writeGguf } from "./gguf-writer.ts";
import { SPECIAL, type TinyVocabulary, tinyVocabulary } from "./tiny-vocabulary.ts";

export interface TinyGgufOptions {
  /** Another seed is another model, with other answers. */
  readonly seed?: number;
  /** What `general.name` says. */
  readonly name?: string;
}

/** Shape of the tiny model; two query heads share one key-value head, as in the models that people deploy. */
export const TINY_SHAPE = {
  layers: 2,
  embedding: 64,
  heads: 2,
  headsKv: 1,
  headSize: 32,
  feedForward: 128,
  contextMax: 4096,
} as const;

/** ChatML, with the tools in a system message and calls between <tool_call> tags as Hermes and Qwen have them. */
const CHAT_TEMPLATE = [
  "{%- if tools %}",
  "{{- '<|im_start|>system\\nTools:\\n' }}",
  "{%- for tool in tools %}{{- tool | tojson + '\\n' }}{%- endfor %}",
  '{{- \'Call one with <tool_call>{"name": …, "arguments": …}</tool_call><|im_end|>\\n\' }}',
  "{%- endif %}",
  "{%- for message in messages %}",
  "{{- '<|im_start|>' + message.role + '\\n' }}",
  "{%- if message.content %}{{- message.content }}{%- endif %}",
  "{%- for call in message.tool_calls or [] %}",
  "{{- '<tool_call>' + (call.function | tojson) + '</tool_call>' }}",
  "{%- endfor %}",
  "{{- '<|im_end|>\\n' }}",
  "{%- endfor %}",
  "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}",
].join("\n");

/** The model file. Deterministic; about 0.7 MB. */
export function tinyGguf(options: TinyGgufOptions = {}): Buffer {
  const vocabulary = tinyVocabulary();
  return writeGguf(
    metadata(vocabulary, options.name ?? "tiny"),
    weights(vocabulary, gaussian(options.seed ?? 1)),
  );
}

function metadata(vocabulary: TinyVocabulary, name: string): [string, GgufValue][] {
  const shape = TINY_SHAPE;
  return [
    ["general.architecture", { type: "string", value: "llama" }],
    ["general.name", { type: "string", value: name }],
    ["general.license", { type: "string", value: "cc0-1.0" }],
    ["general.file_type", { type: "uint32", value: 0 }],
    ["llama.vocab_size", { type: "uint32", value: vocabulary.tokens.length }],
    ["llama.context_length", { type: "uint32", value: shape.contextMax }],
    ["llama.embedding_length", { type: "uint32", value: shape.embedding }],
    ["llama.block_count", { type: "uint32", value: shape.layers }],
    ["llama.feed_forward_length", { type: "uint32", value: shape.feedForward }],
    ["llama.rope.dimension_count", { type: "uint32", value: shape.headSize }],
    ["llama.attention.head_count", { type: "uint32", value: shape.heads }],
    ["llama.attention.head_count_kv", { type: "uint32", value: shape.headsKv }],
    ["llama.attention.layer_norm_rms_epsilon", { type: "float32", value: 1e-5 }],
    ["tokenizer.ggml.model", { type: "string", value: "llama" }],
    ["tokenizer.ggml.tokens", { type: "strings", value: vocabulary.tokens }],
    ["tokenizer.ggml.scores", { type: "float32s", value: vocabulary.scores }],
    ["tokenizer.ggml.token_type", { type: "int32s", value: vocabulary.kinds }],
    ["tokenizer.ggml.unknown_token_id", { type: "uint32", value: SPECIAL.unknown }],
    ["tokenizer.ggml.bos_token_id", { type: "uint32", value: SPECIAL.begin }],
    ["tokenizer.ggml.eos_token_id", { type: "uint32", value: SPECIAL.messageEnd }],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: true }],
    ["tokenizer.ggml.add_space_prefix", { type: "bool", value: false }],
    ["tokenizer.chat_template", { type: "string", value: CHAT_TEMPLATE }],
  ];
}

function weights(vocabulary: TinyVocabulary, gauss: () => number): GgufTensor[] {
  const { embedding, feedForward, headSize, heads, headsKv, layers } = TINY_SHAPE;
  const random = (name: string, rows: number, columns: number, scale: number): GgufTensor =>
    tensor(name, [rows, columns], () => gauss() * scale);
  const linear = (name: string, rows: number, columns: number): GgufTensor =>
    random(name, rows, columns, 1.5 / Math.sqrt(rows));
  const ones = (name: string): GgufTensor => tensor(name, [embedding], () => 1);
  const block = (layer: number): GgufTensor[] => [
    ones(`blk.${layer}.attn_norm.weight`),
    linear(`blk.${layer}.attn_q.weight`, embedding, heads * headSize),
    linear(`blk.${layer}.attn_k.weight`, embedding, headsKv * headSize),
    linear(`blk.${layer}.attn_v.weight`, embedding, headsKv * headSize),
    linear(`blk.${layer}.attn_output.weight`, heads * headSize, embedding),
    ones(`blk.${layer}.ffn_norm.weight`),
    linear(`blk.${layer}.ffn_gate.weight`, embedding, feedForward),
    linear(`blk.${layer}.ffn_up.weight`, embedding, feedForward),
    linear(`blk.${layer}.ffn_down.weight`, feedForward, embedding),
  ];
  const scaleOf = outputScale(vocabulary);
  return [
    random("token_embd.weight", embedding, vocabulary.tokens.length, 1),
    ...Array.from({ length: layers }, (_, layer) => block(layer)).flat(),
    ones("output_norm.weight"),
    tensor("output.weight", [embedding, vocabulary.tokens.length], (index) => {
      const scale = scaleOf(Math.floor(index / embedding));
      return scale === 0 ? 0 : gauss() * scale;
    }),
  ];
}

/**
 * How loud each token is. Only whole words and the end of the message can win in free text, so an answer is readable and can
 * end by itself. A quote wins now and then and a closing brace beats silent tokens, so that text held to JSON by a grammar
 * closes its strings and objects.
 */
function outputScale(vocabulary: TinyVocabulary): (token: number) => number {
  const quote = vocabulary.idOf('"');
  const brace = vocabulary.idOf("}");
  return (token) => {
    if (vocabulary.words.has(token) || token === SPECIAL.messageEnd) return 0.6;
    if (token === quote) return 0.75;
    return token === brace ? 0.3 : 0;
  };
}

function tensor(name: string, shape: readonly number[], valueAt: (index: number) => number): GgufTensor {
  const size = shape.reduce((product, dimension) => product * dimension, 1);
  return { name, shape, data: Float32Array.from({ length: size }, (_, index) => valueAt(index)) };
}

/** Normally distributed numbers from a seed (mulberry32, then Box-Muller): the same on every machine. */
function gaussian(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform() + 1e-12)) * Math.cos(2 * Math.PI * uniform());
}
