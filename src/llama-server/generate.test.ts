import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Token } from "node-llama-cpp";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { tinyGguf } from "../engines/llama-cpp/tiny-gguf.ts";
import { type LlamaEngine, loadEngine, loadLibrary } from "./engine.ts";
import { generate, type TokenCount } from "./generate.ts";

/** The engine inside this process, where llama.cpp's own count of evaluated tokens can be read. */
let engine: LlamaEngine;
const folder = mkdtempSync(join(tmpdir(), "slipway-generate-"));

before(async () => {
  const weights = join(folder, "tiny.gguf");
  writeFileSync(weights, tinyGguf({ seed: 2 }));
  const llama = await loadLibrary(1, silentLog);
  const options = { threads: 1, batchTokens: 32, embeddingTokens: 0, prefixCache: true };
  engine = await loadEngine({ clock: systemClock, random: systemRandom, log: silentLog }, llama, {
    name: "test",
    servedNames: ["tiny"],
    engineKey: "not used in this process",
    weightsFiles: [weights],
    host: "",
    port: 0,
    options,
    contextTokens: 1_024,
    sequencesMax: 1,
    unclaimedExitMs: 0,
    uid: 0,
    gid: 0,
  });
});
after(async () => {
  await engine.dispose();
  rmSync(folder, { recursive: true });
});

const sampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  logitBias: new Map<Token, number>(),
};

/** Generates and tells what llama.cpp evaluated meanwhile beside what we say. */
async function run(prompt: readonly Token[], signal = new AbortController().signal, onPiece = () => {}) {
  const count: TokenCount = { cachedTokens: 0, completionTokens: 0 };
  const lease = await engine.slots.acquire(prompt, "", signal);
  const meter = lease.sequence.tokenMeter;
  const before = meter.getState();
  let text = "";
  let error: unknown;
  try {
    const input = {
      prompt,
      sampling,
      stops: [],
      ignoreEnd: true,
      grammar: undefined,
      topLogprobs: undefined,
    };
    for await (const piece of generate(engine, lease, { ...input, maxTokens: 10, count, signal })) {
      text += piece.text;
      onPiece();
    }
  } catch (thrown) {
    error = thrown;
  } finally {
    lease.release();
  }
  const used = meter.diff(before);
  return { text, error, count, evaluated: used.usedInputTokens + used.usedOutputTokens };
}

const words = (count: number): Token[] =>
  engine.vocabulary.tokenize(`<s>the first people of the world${" water".repeat(count)}`);

test("cached tokens are exactly those that llama.cpp did not evaluate", async () => {
  for (const prompt of [words(100), words(100), words(150), words(40), words(3), words(150)]) {
    const { count, evaluated } = await run(prompt);
    // the prompt's rest, and every chosen token but the last
    assert.equal(evaluated, prompt.length - count.cachedTokens + count.completionTokens - 1);
  }
});

test("a long prompt that is given up midway leaves the sequence usable", async () => {
  const cold = await run(words(60));
  const gone = new AbortController();
  const pending = run(words(800), gone.signal);
  setImmediate(() => gone.abort(new Error("gone")));
  const given = await pending;
  assert.match(String(given.error), /gone/);
  assert.ok(given.evaluated < 800);
  const again = await run(words(60));
  assert.equal(again.text, cold.text);
});

test("an answer that is given up midway ends after the step that runs", async () => {
  const gone = new AbortController();
  const { error, count } = await run(words(10), gone.signal, () => gone.abort(new Error("gone")));
  assert.match(String(error), /gone/);
  assert.ok(count.completionTokens < 10);
});
