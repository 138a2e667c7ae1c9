import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fail, stop } from "./attempt.ts";
import { holdLeadMs, LIMITS } from "./limits.ts";
import type { Attempt, AttemptFailure, Model } from "./model.ts";
import { type Action, nextActions, nextCheckAt, slotPlan, type World } from "./next-action.ts";
import { aModel, anAttempt, aRoutedAttempt, at, aWorld } from "./testing/builders.ts";

function kinds(actions: readonly Action[]): readonly string[] {
  return actions.map((action) => action.kind);
}

function actions(
  attempts: readonly Attempt[],
  ms = 0,
  model: Partial<Model> = {},
  change: Partial<World> = {},
) {
  return nextActions(aWorld({ model: aModel(model), attempts, now: at(ms), ...change }));
}

const CRASH: AttemptFailure = { reason: "ENGINE_FAILED", message: "it crashed", retryable: true };
const NO_ROOM: AttemptFailure = { reason: "CAPACITY_SHORT", message: "no room", retryable: true };
const GATED: AttemptFailure = { reason: "WEIGHTS_GATED", message: "gated", retryable: false };

function failed(failure: AttemptFailure, change: Partial<Attempt> = {}, ms = 0): Attempt {
  const open = fail(anAttempt(change), failure, { now: at(ms), limits: LIMITS });
  return { ...open, removeAskedAt: at(ms), closedAt: at(ms) };
}

test("an accepted model's slots are all started", () => {
  assert.deepEqual(actions([], 0, { replicas: 2 }), [
    { kind: "start", slot: 0, number: 0, failures: 0 },
    { kind: "start", slot: 1, number: 0, failures: 0 },
  ]);
});

test("what is starting is asked for again only where that can't make a second machine", () => {
  const fresh = anAttempt();
  const there = anAttempt({ seen: true, phase: "provisioning" });
  assert.deepEqual(actions([fresh], 5_000), []);
  assert.deepEqual(kinds(actions([fresh], 5_000, {}, { idempotent: () => true })), ["apply"]);
  assert.deepEqual(kinds(actions([there], 5_000)), ["apply"]);
  assert.deepEqual(actions([there], 4_999), []);
  const lost = anAttempt({ applyState: "unclear" });
  assert.deepEqual(kinds(actions([lost], 0, {}, { idempotent: () => true })), ["apply"]);
});

test("after an unclear create nobody creates until the name has stayed absent for the whole wait", () => {
  const absent = anAttempt({ applyState: "unclear", absentSince: at(0) });
  assert.deepEqual(actions([anAttempt({ applyState: "calling" })], 0), []);
  assert.deepEqual(actions([absent], LIMITS.unclearMs - 1), []);
  assert.deepEqual(kinds(actions([absent], LIMITS.unclearMs)), ["apply"]);
});

test("an engine that is up is asked for a completion, ready or not", () => {
  const up = anAttempt({ seen: true, phase: "up", address: { host: "h", port: 1 } });
  assert.deepEqual(kinds(actions([up])), ["probe"]);
  assert.deepEqual(kinds(actions([aRoutedAttempt()])), ["probe"]);
});

test("the next window is asked for before the last moment, and not once it is held", () => {
  const latest = LIMITS.windowMs - holdLeadMs(LIMITS);
  const early = latest - LIMITS.holdAheadMs;
  assert.deepEqual(kinds(actions([aRoutedAttempt()], early - 1)), ["probe"]);
  assert.deepEqual(kinds(actions([aRoutedAttempt()], early)), ["hold-next", "probe"]);
  assert.deepEqual(kinds(actions([aRoutedAttempt({ nextHeld: true })], latest)), ["probe"]);
  const [hold] = actions([aRoutedAttempt()], latest);
  assert.deepEqual(hold, { kind: "hold-next", name: aRoutedAttempt().name, latest: at(latest) });
});

test("a replica that serves while no window is open is paid for at once, or stopped", () => {
  const [hold] = actions([aRoutedAttempt({ windowEndsAt: null })], 7_000);
  assert.deepEqual(hold, { kind: "hold-next", name: aRoutedAttempt().name, latest: at(7_000) });
});

test("money is asked for whatever the provider says of a replica that answers", () => {
  const latest = LIMITS.windowMs - holdLeadMs(LIMITS);
  assert.deepEqual(kinds(actions([aRoutedAttempt({ phase: "loading" })], latest)), ["hold-next", "probe"]);
});

test("looking again never misses the last moment for money", () => {
  const latest = LIMITS.windowMs - holdLeadMs(LIMITS);
  for (let ms = 0; ms < latest; ms += 7_777) {
    const next = nextCheckAt(aWorld({ attempts: [aRoutedAttempt()], now: at(ms) }));
    assert.ok(next && next.getTime() <= at(Math.max(latest, ms + LIMITS.probeIntervalMs)).getTime());
    if (ms < latest - LIMITS.probeIntervalMs) continue;
    assert.ok(next <= at(latest), `${ms}`);
  }
});

test("a failed attempt is removed first, waited out, then followed by another", () => {
  const crashed = fail(anAttempt({ seen: true }), CRASH, { now: at(0), limits: LIMITS });
  assert.deepEqual(kinds(actions([crashed])), ["remove"]);
  assert.deepEqual(kinds(actions([failed(CRASH)], LIMITS.backoffFirstMs - 1)), []);
  const [start] = actions([failed(CRASH)], LIMITS.backoffFirstMs);
  assert.deepEqual(start, { kind: "start", slot: 0, number: 1, failures: 1 });
});

test("waits between attempts grow up to their bound", () => {
  const waits = [0, 1, 2, 3].map((failures) => {
    const plan = slotPlan(aWorld({ attempts: [failed(CRASH, { failures })] }), 0);
    return plan.kind === "wait" ? plan.until.getTime() - at(0).getTime() : plan.kind;
  });
  assert.deepEqual(waits, [1_000, 4_000, 16_000, 60_000]);
});

test("failures past the bound end it with the last words", () => {
  const last = failed(CRASH, { failures: LIMITS.failuresMax - 1 });
  assert.deepEqual(actions([last]), [
    {
      kind: "give-up",
      reason: "ENGINE_FAILED",
      message: `${LIMITS.failuresMax} attempts failed. The last one: it crashed`,
    },
  ]);
});

test("a failure that can't get better ends it at once, in its own words", () => {
  assert.deepEqual(actions([failed(GATED)]), [
    { kind: "give-up", reason: "WEIGHTS_GATED", message: "gated" },
  ]);
});

test("failures of an earlier start do not count after a retry", () => {
  const old = failed(CRASH, { failures: LIMITS.failuresMax - 1 });
  assert.deepEqual(actions([old], 0, { startNumber: 2 }), [
    { kind: "start", slot: 0, number: 1, failures: 0 },
  ]);
});

test("no room is tried until the deadline of waiting, however often, then given up as such", () => {
  const last = failed(NO_ROOM, { failures: 0 }, LIMITS.pendingMs - 1);
  assert.deepEqual(actions([last], LIMITS.pendingMs - 1), []);
  const [end] = actions([last], LIMITS.pendingMs);
  assert.deepEqual(end, {
    kind: "give-up",
    reason: "CAPACITY_SHORT",
    message: "No place until the deadline. no room",
  });
});

test("one slot that fails does not end a model that answers by another; it is tried again late", () => {
  const bad = failed(GATED, { slot: 1 });
  const good = aRoutedAttempt();
  assert.deepEqual(kinds(actions([good, bad], 0, { replicas: 2 })), ["probe"]);
  assert.deepEqual(kinds(actions([good, bad], LIMITS.slowRetryMs, { replicas: 2 })), ["start", "probe"]);
});

test("pausing and deleting stop everything, then remove once gateways have heard", () => {
  for (const desired of ["PAUSED", "DELETED"] as const) {
    assert.deepEqual(kinds(actions([aRoutedAttempt()], 0, { desired })), ["stop"]);
    const stopped = stop(aRoutedAttempt(), at(0), LIMITS.drainMaxMs);
    assert.deepEqual(actions([stopped], LIMITS.routePropagationMs - 1, { desired }), []);
    assert.deepEqual(kinds(actions([stopped], LIMITS.routePropagationMs, { desired })), ["remove"]);
    const asked = { ...stopped, removeAskedAt: at(2_000) };
    assert.deepEqual(actions([asked], 3_000, { desired }), []);
    assert.deepEqual(kinds(actions([asked], 2_000 + LIMITS.drainMaxMs + 30_000, { desired })), ["remove"]);
  }
});

test("scaling down stops only what is beyond", () => {
  const three = [0, 1, 2].map((slot) => aRoutedAttempt({ slot }));
  const found = actions(three, 0, { replicas: 1 });
  assert.deepEqual(
    found.filter((action) => action.kind === "stop").map((action) => action.name),
    three.slice(1).map((attempt) => attempt.name),
  );
});

test("a new generation comes up beside the old one, one slot at a time", () => {
  const old = [0, 1].map((slot) => aRoutedAttempt({ slot }));
  const first = actions(old, 0, { replicas: 2, generation: 2, startNumber: 2 });
  assert.deepEqual(kinds(first), ["start", "probe", "probe"]);
  assert.deepEqual(first[0], { kind: "start", slot: 0, number: 1, failures: 0 });
  const coming = anAttempt({
    slot: 0,
    number: 1,
    generation: 2,
    startNumber: 2,
    seen: true,
    phase: "loading",
  });
  assert.deepEqual(kinds(actions([...old, coming], 0, { replicas: 2, generation: 2, startNumber: 2 })), [
    "probe",
    "probe",
  ]);
});

test("a place without room for both lets the old replica go first", () => {
  const old = aRoutedAttempt();
  const refused = failed(NO_ROOM, { number: 1, generation: 2, startNumber: 2 });
  assert.deepEqual(kinds(actions([old, refused], 0, { generation: 2, startNumber: 2 })), ["stop", "probe"]);
  const leaving = stop(old, at(0), 0);
  assert.deepEqual(slotPlan(aWorld({ model: aModel({ generation: 2 }), attempts: [leaving, refused] }), 0), {
    kind: "busy",
  });
});

test("an old generation that never answered is no use and goes at once", () => {
  const starting = anAttempt({ seen: true, phase: "loading" });
  assert.equal(kinds(actions([starting], 0, { generation: 2, startNumber: 2 }))[0], "stop");
});

test("a model that stands still with nothing left is not looked at again; every other one is", () => {
  assert.equal(
    nextCheckAt(aWorld({ model: aModel({ desired: "PAUSED" }), attempts: [failed(CRASH)] })),
    null,
  );
  const gaveUp = { reason: "ENGINE_FAILED", message: "x" } as const;
  assert.equal(nextCheckAt(aWorld({ model: aModel({ gaveUp }), attempts: [failed(CRASH)] })), null);
  assert.notEqual(nextCheckAt(aWorld({ model: aModel({ gaveUp }), attempts: [anAttempt()] })), null);
  assert.notEqual(nextCheckAt(aWorld()), null);
});

const attempt = fc
  .record({
    slot: fc.integer({ min: 0, max: 2 }),
    generation: fc.integer({ min: 1, max: 2 }),
    kind: fc.constantFrom("asked", "loading", "routed", "leaving", "failed", "closed"),
    age: fc.integer({ min: 0, max: 3_600_000 }),
  })
  .map(({ slot, generation, kind, age }) => ({ slot, generation, kind, age }));

test("no history makes a slot hold two machines, but for a new one beside a routed old one", () => {
  fc.assert(
    fc.property(fc.array(attempt, { maxLength: 5 }), fc.integer({ min: 1, max: 3 }), (list, replicas) => {
      const attempts = list.map(({ slot, generation, kind, age }, number) => {
        const base = { slot, number, generation, createdAt: at(-age), phaseSince: at(-age) };
        if (kind === "asked") return anAttempt(base);
        if (kind === "loading") return anAttempt({ ...base, seen: true, phase: "loading" as const });
        if (kind === "routed") return aRoutedAttempt(base);
        if (kind === "leaving") return stop(aRoutedAttempt(base), at(-age), 0);
        const gone = fail(anAttempt(base), CRASH, { now: at(-age), limits: LIMITS });
        return kind === "failed" ? gone : { ...gone, closedAt: at(-age) };
      });
      const model = aModel({ replicas, generation: 2 });
      for (const action of nextActions(aWorld({ model, attempts }))) {
        if (action.kind !== "start") continue;
        const alive = attempts.filter((one) => one.slot === action.slot && one.closedAt === null);
        assert.ok(alive.every((one) => one.routed && one.generation === 1));
        assert.ok(alive.length <= 1);
      }
    }),
  );
});
