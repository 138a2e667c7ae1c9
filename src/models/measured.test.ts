import assert from "node:assert/strict";
import { test } from "node:test";
import { deployInput, modelFixture } from "../../test/support/models.ts";
import { withTransaction } from "../db/db.ts";
import { measuredWords } from "./measured-words.ts";
import { preflight } from "./preflight.ts";
import { rememberMeasured } from "./store/measured.ts";

const GIB = 2 ** 30;
const FIT = {
  fits: true,
  availableBytes: 80 * GIB,
  lines: [{ item: "Weights over tensor parallel 1", bytes: 11 * GIB }],
  contextMaxTokens: 4_096,
  contextTokens: 4_096,
};

test("a fit tells what the engine measured before, and how far the plan was off", () => {
  const words = measuredWords(FIT, { weightsBytes: 10 * GIB, kvBytes: 50 * GIB, kvTokens: 400_000 });
  assert.match(words, /weights 10\.00 GiB \(the plan's 11\.00 GiB is \+10\.0 %\)/);
  assert.match(words, /50\.00 GiB for the KV cache, room for 400000 tokens/);
  assert.equal(measuredWords(FIT, {}), "");
});

test("what was measured last is what the same weights on the same hardware are told", async (t) => {
  const f = await modelFixture(t);
  const { model } = await f.deploy({ modelName: "measured" });
  for (const kvTokens of [1_000, 2_000]) {
    const input = { modelId: model.id, measured: { kvTokens }, at: f.clock.now() };
    await withTransaction(f.ctx, (tx) => rememberMeasured(tx, input));
  }
  const before = await preflight(f.ctx, f.deps, { ...deployInput(f.owner.userId), modelName: "another" });
  assert.match(before.measured, /room for 2000 tokens/);
});
