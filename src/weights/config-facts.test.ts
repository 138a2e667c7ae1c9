import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "../base/status.ts";
import { configFacts } from "./config-facts.ts";

const LLAMA = {
  model_type: "llama",
  hidden_size: 4096,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  max_position_embeddings: 131072,
  vocab_size: 128256,
};
const FACTS = {
  architecture: "llama",
  layers: 32,
  embedding: 4096,
  heads: 32,
  headsKv: 8,
  headSize: 128,
  contextMax: 131072,
  vocabulary: 128256,
};

test("the usual names are read", () => {
  assert.deepEqual(configFacts(JSON.stringify(LLAMA)), FACTS);
  assert.equal(configFacts(JSON.stringify({ ...LLAMA, head_dim: 64 })).headSize, 64);
});

test("older names are read", () => {
  const gpt2 = {
    model_type: "gpt2",
    n_embd: 768,
    n_layer: 12,
    n_head: 12,
    n_positions: 1024,
    vocab_size: 50257,
  };
  const facts = configFacts(JSON.stringify(gpt2));
  assert.deepEqual(
    [facts.layers, facts.embedding, facts.headsKv, facts.headSize, facts.contextMax],
    [12, 768, 12, 64, 1024],
  );
});

test("of a model with eyes the language part counts", () => {
  const { model_type: _, ...figures } = LLAMA;
  const facts = configFacts(
    JSON.stringify({
      model_type: "llava",
      hidden_size: 7,
      vocab_size: 128256,
      text_config: { ...figures, vocab_size: undefined },
    }),
  );
  assert.deepEqual(facts, { ...FACTS, architecture: "llava" });
});

test("figures that are no figures count as untold, and no JSON is refused", () => {
  assert.equal(configFacts(JSON.stringify({ ...LLAMA, num_hidden_layers: "many" })).layers, 0);
  assert.equal(configFacts(JSON.stringify({ ...LLAMA, vocab_size: -5 })).vocabulary, 0);
  for (const text of ["", "[]", "{", "null"]) {
    assert.throws(
      () => configFacts(text),
      (error) => error instanceof StatusError && error.reason === "WEIGHTS_UNSUPPORTED",
    );
  }
});
