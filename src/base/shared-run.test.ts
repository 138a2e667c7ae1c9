import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedRun } from "./shared-run.ts";

test("who asks while the work runs shares it, failures included, and who asks afterwards has it run again", async () => {
  let runs = 0;
  const shared = sharedRun(async (outcome: string) => {
    runs += 1;
    await Promise.resolve();
    if (outcome === "fails") throw new Error(outcome);
    return `${outcome} ${runs}`;
  });
  assert.deepEqual(await Promise.all([shared("a"), shared("b")]), ["a 1", "a 1"]);
  assert.equal(await shared("c"), "c 2");
  const failed = await Promise.allSettled([shared("fails"), shared("d")]);
  assert.deepEqual(
    failed.map(({ status }) => status),
    ["rejected", "rejected"],
  );
  assert.equal(await shared("e"), "e 4");
});
