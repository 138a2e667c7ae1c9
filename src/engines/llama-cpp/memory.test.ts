import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { getLlama } from "node-llama-cpp";
import type { WeightsFacts } from "../engine.ts";
import { computeBytes, kvBytes } from "./memory.ts";
import { TINY_SHAPE, tinyGguf } from "./tiny-gguf.ts";

const TINY: WeightsFacts = {
  source: "builtin://tiny",
  revision: "",
  files: [],
  format: "gguf",
  sizeBytes: tinyGguf().length,
  architecture: "llama",
  vocabulary: 900,
  ...TINY_SHAPE,
};

test("the plan is what llama.cpp allocates: exactly for keys and values, at most for scratch", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "slipway-memory-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "tiny.gguf"), tinyGguf());
  const llama = await getLlama({ build: "never", gpu: false, skipDownload: true, maxThreads: 1 });
  const model = await llama.loadModel({ modelPath: join(folder, "tiny.gguf") });
  const allocated = async (sequences: number, contextSize: number) => {
    const context = await model.createContext({
      sequences,
      contextSize,
      batchSize: 256,
      swaFullCache: true,
      ignoreMemorySafetyChecks: true,
    });
    const { ram } = context.memoryUsage;
    await context.dispose();
    return ram;
  };
  // With the context unchanged only the cells differ between one sequence and five, and some hundred bytes each.
  const four = (await allocated(5, 1_000)) - (await allocated(1, 1_000));
  assert.ok(Math.abs(four - 4 * kvBytes(TINY, 1_000)) < 4_096, String(four));
  for (const contextTokens of [256, 1_000, 4_096]) {
    const scratch = (await allocated(2, contextTokens)) - 2 * kvBytes(TINY, contextTokens);
    assert.ok(
      scratch > 0 && scratch <= computeBytes(TINY, contextTokens, 256),
      `${contextTokens}: ${scratch}`,
    );
  }
  await model.dispose();
  await llama.dispose();
});
