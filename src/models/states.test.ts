import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { canReach, type Desired, derive, MOVES, type ModelStatus, STATUSES, type Stage } from "./states.ts";

/** The table of the life of a model, written out once more, so that a slip in one of the two is seen. */
const LEAVES: Readonly<Record<ModelStatus, string>> = {
  PENDING: "PROVISIONING PAUSING FAILED DELETING",
  PROVISIONING: "LOADING PENDING PAUSING FAILED DELETING",
  LOADING: "RUNNING PROVISIONING PENDING PAUSING FAILED DELETING",
  RUNNING: "LOADING PENDING SLEEPING PAUSING FAILED DELETING",
  SLEEPING: "LOADING PAUSING DELETING",
  PAUSING: "PAUSED PENDING DELETING",
  PAUSED: "PENDING DELETING",
  FAILED: "PENDING PAUSING DELETING",
  DELETING: "DELETED",
  DELETED: "",
};

for (const status of STATUSES) {
  test(`${status} is left by ${LEAVES[status] || "nothing"}`, () => {
    assert.deepEqual([...MOVES[status]].sort(), LEAVES[status].split(" ").filter(Boolean).sort());
  });
}

test("nothing comes back from DELETING, and PAUSED is left only by starting or deleting", () => {
  for (const status of STATUSES) {
    assert.equal(canReach("DELETED", status), status === "DELETED");
    assert.equal(canReach("DELETING", status), status === "DELETED" || status === "DELETING");
  }
  assert.deepEqual([...MOVES.PAUSED].sort(), ["DELETING", "PENDING"]);
});

const cases: readonly [Desired, boolean, readonly Stage[], ModelStatus][] = [
  ["RUNNING", false, [], "PENDING"],
  ["RUNNING", false, ["leaving"], "PENDING"],
  ["RUNNING", false, ["asked"], "PROVISIONING"],
  ["RUNNING", false, ["provisioning", "leaving"], "PROVISIONING"],
  ["RUNNING", false, ["loading", "provisioning"], "LOADING"],
  ["RUNNING", false, ["routed", "loading"], "RUNNING"],
  ["RUNNING", false, ["routed", "leaving"], "RUNNING"],
  ["RUNNING", true, [], "FAILED"],
  ["RUNNING", true, ["leaving"], "FAILED"],
  ["PAUSED", false, [], "PAUSED"],
  ["PAUSED", false, ["leaving"], "PAUSING"],
  ["PAUSED", false, ["routed"], "PAUSING"],
  ["DELETED", false, [], "DELETED"],
  ["DELETED", true, [], "DELETED"],
  ["DELETED", false, ["leaving"], "DELETING"],
];
for (const [desired, gaveUp, stages, status] of cases) {
  test(`${desired}${gaveUp ? ", given up" : ""}, with [${stages.join(", ")}] is ${status}`, () => {
    assert.equal(derive({ desired, gaveUp, stages }), status);
  });
}

const stage = fc.constantFrom<Stage>("leaving", "asked", "provisioning", "loading", "routed");
const facts = fc.record({
  desired: fc.constantFrom<Desired>("RUNNING", "PAUSED", "DELETED"),
  gaveUp: fc.boolean(),
  stages: fc.array(stage, { maxLength: 4 }),
});

test("a model is never PAUSED or DELETED while a machine of it may exist, and RUNNING only while one answers", () => {
  fc.assert(
    fc.property(facts, (seen) => {
      const status = derive(seen);
      if (status === "PAUSED" || status === "DELETED") assert.equal(seen.stages.length, 0);
      if (status === "RUNNING") assert.ok(seen.stages.includes("routed"));
    }),
  );
});

test("whatever is seen next, the new state can be reached from the old one by the table", () => {
  fc.assert(
    fc.property(facts, facts, (before, after) => {
      // What was deleted stays so; a model that stood still starts with nothing but leaving machines.
      fc.pre(before.desired !== "DELETED" || after.desired === "DELETED");
      const from = derive(before);
      const to = derive(after);
      fc.pre(from !== "DELETED");
      assert.ok(canReach(from, to), `${from} to ${to}`);
    }),
  );
});
