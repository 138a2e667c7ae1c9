import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Hardware, WeightsFacts } from "../engine.ts";
import { validateSpec } from "../spec.ts";
import { llamaCpp } from "./index.ts";
import { kvBytes, totalBytes } from "./memory.ts";

const GIB = 1024 ** 3;
const SWITCHES = { kvCacheEnabled: true, cpuOffloadingEnabled: false };

/** A half-billion-parameter model with four-bit weights. */
const WEIGHTS: WeightsFacts = {
  source: "org/repo",
  revision: "",
  files: [],
  format: "gguf",
  sizeBytes: 400_000_000,
  architecture: "qwen2",
  layers: 24,
  embedding: 896,
  heads: 14,
  headsKv: 2,
  headSize: 64,
  contextMax: 32_768,
  vocabulary: 151_936,
};

const CPU: Hardware = {
  gpuType: "UNSPECIFIED",
  gpuCount: 0,
  gpuMemoryBytes: 0,
  cpuMemoryBytes: 8 * GIB,
  cpuCount: 8,
};

test("GGUF on a CPU replica is supported, anything else is not", () => {
  assert.equal(llamaCpp.supports(WEIGHTS, CPU), true);
  assert.equal(llamaCpp.supports({ ...WEIGHTS, format: "safetensors" }, CPU), false);
  assert.equal(llamaCpp.supports(WEIGHTS, { ...CPU, gpuType: "H100", gpuCount: 1 }), false);
  assert.equal(llamaCpp.supports({ ...WEIGHTS, architecture: "bert" }, CPU), false);
  assert.equal(llamaCpp.supports({ ...WEIGHTS, headsKv: 0 }, CPU), false);
});

test("the plan says what the process runs with", () => {
  const plan = llamaCpp.plan(WEIGHTS, CPU, SWITCHES, {});
  assert.equal(plan.engine, "llama.cpp");
  assert.equal(plan.contextTokens, 8_192);
  assert.equal(plan.sequencesMax, 4);
  assert.deepEqual(plan.options, { threads: 4, batchTokens: 256, embeddingTokens: 2_048, prefixCache: true });
  assert.equal(plan.memoryBytes, totalBytes(llamaCpp.fit(WEIGHTS, CPU, SWITCHES, {}).lines));
});

test("threads leave room for what else runs", () => {
  const threadsOn = (cpuCount: number, sizeBytes = WEIGHTS.sizeBytes) =>
    llamaCpp.plan({ ...WEIGHTS, sizeBytes }, { ...CPU, cpuCount }, SWITCHES, {}).options.threads;
  assert.deepEqual(
    [1, 2, 4, 64].map((cpuCount) => threadsOn(cpuCount)),
    [1, 1, 2, 4],
  );
  assert.equal(threadsOn(64, 744_000), 1);
});

test("kvCacheEnabled switches the reuse of prefixes", () => {
  const plan = llamaCpp.plan(WEIGHTS, CPU, { ...SWITCHES, kvCacheEnabled: false }, {});
  assert.equal(plan.options.prefixCache, false);
});

test("modelSpec decides context, sequences and threads", () => {
  const spec = { contextTokens: 2_000, sequencesMax: 2, threads: 5 };
  const plan = llamaCpp.plan(WEIGHTS, CPU, SWITCHES, spec);
  assert.deepEqual([plan.contextTokens, plan.sequencesMax, plan.options.threads], [2_000, 2, 5]);
  assert.equal(validateSpec(llamaCpp.specKeys, spec).ok, true);
  assert.equal(validateSpec(llamaCpp.specKeys, { sequencesMax: 0 }).ok, false);
});

test("a context beyond the model's own is cut to it", () => {
  assert.equal(llamaCpp.fit(WEIGHTS, CPU, SWITCHES, { contextTokens: 100_000 }).contextTokens, 32_768);
});

test("every sequence pays for the whole context", () => {
  const bytesOf = (sequencesMax: number) =>
    llamaCpp.fit(WEIGHTS, CPU, SWITCHES, { sequencesMax, contextTokens: 4_096 }).lines[1]?.bytes;
  assert.equal(bytesOf(1), 2 * 24 * 2 * 64 * 4_096 * 2);
  assert.equal(bytesOf(6), 6 * kvBytes(WEIGHTS, 4_096));
});

test("weights that don't fit leave no context and say so line by line", () => {
  const fit = llamaCpp.fit({ ...WEIGHTS, sizeBytes: 16 * GIB }, CPU, SWITCHES, {});
  assert.equal(fit.fits, false);
  assert.equal(fit.contextMaxTokens, 0);
  assert.equal(fit.lines[0]?.bytes, 16 * GIB);
});

test("a context that is too large does not fit, and the largest that does is told", () => {
  const small = { ...CPU, cpuMemoryBytes: 1.5 * GIB };
  const fit = llamaCpp.fit(WEIGHTS, small, SWITCHES, { contextTokens: 32_768 });
  assert.equal(fit.fits, false);
  assert.ok(fit.contextMaxTokens > 0 && fit.contextMaxTokens < 32_768);
  assert.equal(llamaCpp.fit(WEIGHTS, small, SWITCHES, { contextTokens: fit.contextMaxTokens }).fits, true);
});

test("on any hardware the largest context fits and one step more does not", () => {
  const memory = fc.integer({ min: 1, max: 16_000 }).map((mebibytes) => mebibytes * 1024 ** 2);
  fc.assert(
    fc.property(
      memory,
      fc.integer({ min: 1, max: 64 }),
      fc.integer({ min: 300, max: 131_072 }),
      (bytes, sequencesMax, contextMax) => {
        const weights = { ...WEIGHTS, contextMax };
        const hardware = { ...CPU, cpuMemoryBytes: bytes };
        const fits = (contextTokens: number) =>
          llamaCpp.fit(weights, hardware, SWITCHES, { sequencesMax, contextTokens }).fits;
        const largest = llamaCpp.fit(weights, hardware, SWITCHES, { sequencesMax }).contextMaxTokens;
        if (largest > 0) assert.equal(fits(largest), true);
        if (largest < contextMax) assert.equal(fits(largest + 256), false);
      },
    ),
  );
});
