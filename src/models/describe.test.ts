import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fail, stop } from "./attempt.ts";
import { describe, type Notes } from "./describe.ts";
import { LIMITS } from "./limits.ts";
import type { Attempt, AttemptFailure, Model } from "./model.ts";
import { isConditionReason, nextStepOf } from "./reasons.ts";
import { aModel, anAttempt, aRoutedAttempt, at } from "./testing/builders.ts";

const CALM: Notes = { providerSilent: false, moneyEndsAt: null };

function told(model: Partial<Model>, attempts: readonly Attempt[], ms = 0, notes: Partial<Notes> = {}) {
  return describe({
    model: aModel(model),
    attempts,
    notes: { ...CALM, ...notes },
    now: at(ms),
    limits: LIMITS,
  });
}

function failed(failure: AttemptFailure): Attempt {
  const open = fail(anAttempt(), failure, { now: at(0), limits: LIMITS });
  return { ...open, closedAt: at(0) };
}

const crash: AttemptFailure = { reason: "ENGINE_FAILED", message: "cudaMalloc failed", retryable: true };
const loading = { seen: true, phase: "loading" } as const;

const rows: readonly [string, ReturnType<typeof told>, string, string][] = [
  ["accepted", told({}, []), "PENDING", "ACCEPTED"],
  ["asked for", told({}, [anAttempt()]), "PROVISIONING", "MACHINE_REQUESTED"],
  [
    "a machine comes",
    told({}, [anAttempt({ seen: true, phase: "provisioning" })]),
    "PROVISIONING",
    "MACHINE_STARTING",
  ],
  [
    "downloading",
    told({}, [anAttempt({ ...loading, progressDone: 1, progressTotal: 9 })]),
    "LOADING",
    "WEIGHTS_DOWNLOADING",
  ],
  ["the engine starts", told({}, [anAttempt(loading)]), "LOADING", "ENGINE_STARTING"],
  ["up, not answering yet", told({}, [anAttempt({ seen: true, phase: "up" })]), "LOADING", "PROBING"],
  ["answering", told({}, [aRoutedAttempt()]), "RUNNING", "READY"],
  ["one of two answers", told({ replicas: 2 }, [aRoutedAttempt()]), "RUNNING", "REPLICAS_SHORT"],
  ["the old generation answers", told({ generation: 2 }, [aRoutedAttempt()]), "RUNNING", "UPDATING"],
  [
    "no money for the next window",
    told({}, [aRoutedAttempt()], 0, { moneyEndsAt: at(9) }),
    "RUNNING",
    "BALANCE_RUNNING_OUT",
  ],
  ["crashed", told({}, [failed(crash)]), "PENDING", "TRYING_AGAIN"],
  ["no room", told({}, [failed({ ...crash, reason: "CAPACITY_SHORT" })]), "PENDING", "WAITING_FOR_CAPACITY"],
  ["machine lost", told({}, [failed({ ...crash, reason: "MACHINE_LOST" })]), "PENDING", "MACHINE_LOST"],
  ["resumed while pausing", told({}, [stop(anAttempt({ startNumber: 0 }), at(0), 0)]), "PENDING", "STOPPING"],
  ["given up", told({ gaveUp: crash }, []), "FAILED", "ENGINE_FAILED"],
  [
    "pausing",
    told({ desired: "PAUSED", desiredReason: "PAUSED_BY_OWNER" }, [stop(aRoutedAttempt(), at(0), 9)]),
    "PAUSING",
    "DRAINING",
  ],
  ["paused", told({ desired: "PAUSED", desiredReason: "PAUSED_BY_OWNER" }, []), "PAUSED", "PAUSED_BY_OWNER"],
  [
    "paused for money",
    told({ desired: "PAUSED", desiredReason: "BALANCE_TOO_LOW" }, []),
    "PAUSED",
    "BALANCE_TOO_LOW",
  ],
  ["deleting", told({ desired: "DELETED" }, [stop(anAttempt(), at(0), 0)]), "DELETING", "STOPPING"],
  ["deleted", told({ desired: "DELETED" }, []), "DELETED", "REMOVED"],
];
for (const [name, found, status, reason] of rows) {
  test(`${name}: ${status}, ${reason}`, () => {
    assert.equal(found.status, status);
    assert.equal(found.reason, reason);
  });
}

test("a machine that does not go past the deadline keeps the model DELETING and tells that its provider does not answer", () => {
  const model = { desired: "DELETED", desiredReason: "REMOVED" } as const;
  const stopped = [stop(aRoutedAttempt(), at(0), 0)];
  assert.equal(told(model, stopped, LIMITS.deletingMs - 1).reason, "DRAINING");
  const late = told(model, stopped, LIMITS.deletingMs);
  assert.equal(late.status, "DELETING");
  assert.equal(late.reason, "PROVIDER_UNREACHABLE");
});

test("the engine's own last words reach the condition", () => {
  assert.match(told({}, [failed(crash)]).message, /cudaMalloc failed/);
});

test("waiting is dated from its beginning, and ends with the first sign of an engine", () => {
  assert.deepEqual(told({ waitingSince: at(-5) }, []).waitingSince, at(-5));
  assert.deepEqual(told({ waitingSince: null }, [], 7).waitingSince, at(7));
  assert.equal(told({}, [anAttempt(loading)]).waitingSince, null);
  assert.equal(told({ desired: "PAUSED" }, []).waitingSince, null);
});

test("PENDING, PROVISIONING, LOADING, PAUSING and DELETING have a deadline; the others none", () => {
  for (const [, found] of rows) {
    const timed = ["PENDING", "PROVISIONING", "LOADING", "PAUSING", "DELETING"].includes(found.status);
    if (found.reason !== "BALANCE_RUNNING_OUT") assert.equal(found.deadline !== null, timed, found.status);
  }
});

test("whatever there is, there is a state with a reason, a sentence and a next step", () => {
  const attempt = fc
    .record({
      slot: fc.integer({ min: 0, max: 1 }),
      generation: fc.integer({ min: 1, max: 2 }),
      phase: fc.constantFrom("none", "provisioning", "loading", "up"),
      applyState: fc.constantFrom("calling", "clear", "unclear"),
      routed: fc.boolean(),
      stopped: fc.boolean(),
      failed: fc.boolean(),
      closed: fc.boolean(),
    })
    .map((made): Attempt => {
      const { slot, generation, phase, applyState } = made;
      const open = anAttempt({ slot, generation, phase, applyState, routed: made.routed });
      const gone = made.failed ? fail(open, crash, { now: at(0), limits: LIMITS }) : open;
      const stopped = made.stopped ? stop(gone, at(0), 0) : gone;
      return made.closed && stopped.stoppedAt ? { ...stopped, closedAt: at(0) } : stopped;
    });
  const model = fc.record({
    desired: fc.constantFrom("RUNNING", "PAUSED", "DELETED"),
    gaveUp: fc.constantFrom(null, { reason: "DEADLINE", message: "too late" } as const),
    replicas: fc.integer({ min: 1, max: 2 }),
  });
  const notes = fc.record({ providerSilent: fc.boolean(), moneyEndsAt: fc.constantFrom(null, at(5)) });
  fc.assert(
    fc.property(model, fc.array(attempt, { maxLength: 4 }), notes, (desired, attempts, noted) => {
      const found = told({ ...desired, desiredReason: "PAUSED_BY_OWNER" }, attempts, 0, noted);
      assert.ok(isConditionReason(found.reason));
      assert.notEqual(found.message, "");
      assert.notEqual(found.nextStep, "");
      assert.notEqual(nextStepOf(found.reason), "");
    }),
  );
});
