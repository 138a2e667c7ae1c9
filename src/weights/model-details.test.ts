import assert from "node:assert/strict";
import { test } from "node:test";
import { modelDetails } from "./model-details.ts";

const details = (config: object) => modelDetails(JSON.stringify(config));

test("grouped heads: every layer keeps a key and a value for each KV head", () => {
  const qwen3 = {
    architectures: ["Qwen3ForCausalLM"],
    hidden_size: 4096,
    num_hidden_layers: 36,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 128,
    sliding_window: null,
    use_sliding_window: false,
    max_window_layers: 36,
    torch_dtype: "bfloat16",
  };
  assert.deepEqual(details(qwen3), {
    architectures: ["Qwen3ForCausalLM"],
    dtype: "bfloat16",
    quantization: "",
    experts: 0,
    attention: [{ layers: 36, vectors: 16, size: 128, latent: false, window: 0 }],
  });
});

test("latent attention: one vector a layer, whatever the heads", () => {
  const deepseek = {
    num_hidden_layers: 61,
    num_attention_heads: 128,
    num_key_value_heads: 128,
    kv_lora_rank: 512,
    qk_rope_head_dim: 64,
    n_routed_experts: 256,
    quantization_config: { quant_method: "fp8", weight_block_size: [128, 128] },
  };
  const told = details(deepseek);
  assert.deepEqual(told.attention, [{ layers: 61, vectors: 1, size: 576, latent: true, window: 0 }]);
  assert.deepEqual([told.experts, told.quantization], [256, "fp8"]);
});

test("layers that slide are apart from those that look at everything", () => {
  const layer_types = Array.from({ length: 24 }, (_, index) =>
    index % 2 === 0 ? "sliding_attention" : "full_attention",
  );
  const oss = {
    num_attention_heads: 64,
    num_key_value_heads: 8,
    head_dim: 64,
    sliding_window: 128,
    layer_types,
  };
  assert.deepEqual(details({ ...oss, num_local_experts: 32 }).attention, [
    { layers: 12, vectors: 16, size: 64, latent: false, window: 0 },
    { layers: 12, vectors: 16, size: 64, latent: false, window: 128 },
  ]);
  const gemma = {
    num_hidden_layers: 26,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    head_dim: 256,
    sliding_window: 512,
    sliding_window_pattern: 6,
  };
  assert.deepEqual(
    details(gemma).attention.map(({ layers, window }) => [layers, window]),
    [
      [4, 0],
      [22, 512],
    ],
  );
});

test("a window that is switched off slides nowhere; one without a switch slides everywhere", () => {
  const mistral = { num_hidden_layers: 32, num_attention_heads: 32, hidden_size: 4096, sliding_window: 4096 };
  assert.deepEqual(
    details(mistral).attention.map(({ layers, window }) => [layers, window]),
    [[32, 4096]],
  );
  const off = details({ ...mistral, use_sliding_window: false });
  assert.deepEqual(
    off.attention.map(({ layers, window }) => [layers, window]),
    [[32, 0]],
  );
});

test("layers with a constant state keep no keys and values", () => {
  const figures = { num_attention_heads: 24, num_key_value_heads: 4, head_dim: 256, num_hidden_layers: 64 };
  const told = details({
    model_type: "x",
    text_config: { ...figures, full_attention_interval: 4, dtype: "bfloat16" },
  });
  assert.deepEqual(told.attention, [{ layers: 16, vectors: 8, size: 256, latent: false, window: 0 }]);
  assert.equal(told.dtype, "bfloat16");
});

test("what is no figure counts as untold", () => {
  const empty = { architectures: [], dtype: "", quantization: "", experts: 0, attention: [] };
  assert.deepEqual(details({ num_hidden_layers: "many", layer_types: 7 }), empty);
  assert.deepEqual(modelDetails("[]"), empty);
});
