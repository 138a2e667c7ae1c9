import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "../base/status.ts";
import type { WeightsFile } from "../engines/engine.ts";
import { pickFiles, splitNames } from "./pick-files.ts";

function files(...names: string[]): WeightsFile[] {
  return names.map((name) => ({ name, sizeBytes: 10, sha256: "" }));
}

function picked(names: string[], named = ""): string[] {
  return pickFiles("org/repo", files(...names), named).files.map((file) => file.name);
}

function reasonIs(reason: string): (error: unknown) => boolean {
  return (error) => error instanceof StatusError && error.reason === reason;
}

test("Q4_K_M is taken where it exists, whatever the spelling around it", () => {
  assert.deepEqual(picked(["m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-Q4_0.gguf"]), ["m-Q4_K_M.gguf"]);
  assert.deepEqual(picked(["m.q8_0.gguf", "m.q4_k_m.gguf"]), ["m.q4_k_m.gguf"]);
  assert.deepEqual(picked(["Q8_0/m.gguf", "Q4_K_M/m.gguf"]), ["Q4_K_M/m.gguf"]);
});

test("without it other 4-bit files come first, then more bits, then fewer, then unquantized", () => {
  const order = ["m-Q4_0.gguf", "m-Q5_K_M.gguf", "m-Q6_K.gguf", "m-Q8_0.gguf", "m-Q2_K.gguf", "m-F16.gguf"];
  for (let from = 0; from < order.length; from++) {
    assert.deepEqual(picked(order.slice(from).reverse()), [order[from]]);
  }
});

test("a file without a label is taken when there is no other", () => {
  assert.deepEqual(picked(["README.md", "model.gguf"]), ["model.gguf"]);
  assert.deepEqual(picked(["model.gguf", "model-Q2_K.gguf"]), ["model-Q2_K.gguf"]);
});

test("a vision projector or calibration file is never the model", () => {
  assert.deepEqual(picked(["mmproj-model-Q4_K_M.gguf", "model-Q8_0.gguf", "imatrix-Q4_0.gguf"]), [
    "model-Q8_0.gguf",
  ]);
});

test("a split file is taken with all its parts, in order", () => {
  const parts = [
    "m-Q4_K_M-00001-of-00003.gguf",
    "m-Q4_K_M-00002-of-00003.gguf",
    "m-Q4_K_M-00003-of-00003.gguf",
  ];
  assert.deepEqual(picked([...parts].reverse()), parts);
  assert.deepEqual(picked(parts, "m-Q4_K_M-00002-of-00003.gguf"), parts);
  assert.throws(() => picked(parts.slice(0, 2)), reasonIs("WEIGHTS_NOT_FOUND"));
});

test("a split of absurd size is refused", () => {
  assert.throws(() => splitNames("m-00001-of-99999.gguf"), reasonIs("WEIGHTS_UNSUPPORTED"));
  assert.throws(() => splitNames("m-00001-of-00000.gguf"), reasonIs("WEIGHTS_UNSUPPORTED"));
});

test("a named file is the file, and a wrong name tells what there is", () => {
  assert.deepEqual(picked(["a-Q4_K_M.gguf", "a-Q8_0.gguf"], "a-Q8_0.gguf"), ["a-Q8_0.gguf"]);
  assert.throws(
    () => picked(["a-Q4_K_M.gguf"], "a-Q9.gguf"),
    (error) => reasonIs("WEIGHTS_NOT_FOUND")(error) && /a-Q4_K_M\.gguf/.test(String(error)),
  );
  assert.throws(() => picked(["config.json"], "config.json"), reasonIs("WEIGHTS_UNSUPPORTED"));
});

test("safetensors come with what opens them, and without copies in other forms", () => {
  const repository = [
    "README.md",
    "config.json",
    "consolidated.safetensors",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "original/consolidated.00.pth",
    "tokenizer.json",
    "tokenizer.model",
  ];
  assert.deepEqual(picked(repository), [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer.model",
  ]);
});

test("a repository without weights says so", () => {
  assert.throws(() => picked(["README.md", "pytorch_model.bin"]), reasonIs("WEIGHTS_UNSUPPORTED"));
});
