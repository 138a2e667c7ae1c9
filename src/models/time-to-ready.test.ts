import assert from "node:assert/strict";
import { test } from "node:test";
import { WEIGHTS } from "../../test/sim/world.ts";
import { deployInput, modelFixture } from "../../test/support/models.ts";
import { timeToReady } from "./time-to-ready.ts";

test("time is told from starts of the same weights, else of weights of like size there, else guessed", async (t) => {
  const f = await modelFixture(t);
  for (let i = 0; i < 3; i++) {
    const { model } = await f.deploy({ ...deployInput(f.owner.userId), modelName: `m${i}` });
    await f.until(model.id, "RUNNING");
  }
  const place = {
    driver: "local",
    provider: "ONPREM",
    region: "local",
    gpuType: "UNSPECIFIED",
    gpuCount: 0,
    nodeId: "",
  } as const;
  const ask = (path: string, sizeBytes: number, there = place) =>
    timeToReady(f.ctx, { path, place: there, facts: { ...WEIGHTS, sizeBytes } });
  const same = await ask("org/tiny", WEIGHTS.sizeBytes);
  assert.equal(same.starts, 3);
  assert.ok(same.readySecondsP95 >= same.readySeconds && same.readySeconds > 0);
  assert.match(same.message, /last 3 starts of these weights here, half took at most/);
  const like = await ask("org/other", WEIGHTS.sizeBytes * 1.5);
  assert.deepEqual([like.starts, like.readySeconds], [3, same.readySeconds]);
  assert.ok(like.downloadBytes > 0, "they still have to be fetched");
  for (const guess of [
    await ask("org/huge", WEIGHTS.sizeBytes * 100),
    await ask("org/tiny", WEIGHTS.sizeBytes, { ...place, region: "elsewhere" } as unknown as typeof place),
  ]) {
    assert.equal(guess.starts, 0);
    assert.equal(guess.readySecondsP95, guess.readySeconds);
    assert.match(guess.message, /Guessed/);
  }
});
