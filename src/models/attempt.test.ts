import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReplicaObservation } from "../providers/driver.ts";
import { absorb, absorbProbe, expire, fail, failureOf, type Look, stageOf, stop, strand } from "./attempt.ts";
import { LIMITS } from "./limits.ts";
import type { Attempt } from "./model.ts";
import { anAttempt, aRoutedAttempt, at } from "./testing/builders.ts";

function look(ms: number, idempotent = false): Look {
  return { now: at(ms), limits: LIMITS, idempotent };
}

function seen(attempt: Attempt, ms: number, change: Partial<ReplicaObservation>): ReplicaObservation {
  return { name: attempt.name, at: at(ms), phase: "up", ...change };
}

const GONE = { reason: "ENGINE_FAILED", message: "out of memory", retryable: true } as const;

test("what could not be looked at, or was looked at long ago, is unknown and not lost", () => {
  const attempt = aRoutedAttempt();
  assert.equal(absorb(attempt, undefined, look(5_000)), attempt);
  assert.equal(absorb(attempt, seen(attempt, 0, { phase: "unknown" }), look(5_000)), attempt);
  const old = seen(attempt, 0, { phase: "gone", failure: GONE });
  assert.equal(absorb(attempt, old, look(LIMITS.observationMaxAgeMs + 1)), attempt);
});

test("seeing the same again changes nothing, so that nothing is written", () => {
  const attempt = aRoutedAttempt();
  const again = seen(attempt, 5_000, { address: { host: "127.0.0.1", port: 1_000 } });
  assert.equal(absorb(attempt, again, look(5_000)), attempt);
});

test("a replica that is gone leaves routing at once and keeps the engine's last words", () => {
  const attempt = aRoutedAttempt();
  const after = absorb(attempt, seen(attempt, 5_000, { phase: "gone", failure: GONE }), look(5_000));
  assert.equal(stageOf(after), "leaving");
  assert.equal(after.routed, false);
  assert.deepEqual(after.unroutedAt, at(5_000));
  assert.equal(after.graceMs, 0);
  assert.deepEqual(after.failure, { reason: "ENGINE_FAILED", message: "out of memory", retryable: true });
  assert.equal(after.failures, 1);
});

test("failures in a row add up; a long good run starts the count afresh; no room is not counted", () => {
  const gone = { phase: "gone", failure: GONE } as const;
  const third = anAttempt({ failures: 2 });
  assert.equal(absorb(third, seen(third, 1_000, gone), look(1_000)).failures, 3);
  const stable = aRoutedAttempt({ failures: 2 });
  const late = LIMITS.stableMs + 1;
  assert.equal(absorb(stable, seen(stable, late, gone), look(late)).failures, 1);
  const short = { phase: "gone", failure: { ...GONE, reason: "CAPACITY_SHORT" } } as const;
  assert.equal(absorb(third, seen(third, 1_000, short), look(1_000)).failures, 2);
});

test("an accepted create that shows nothing is waited for, then taken for no room", () => {
  const attempt = anAttempt();
  const absent = (ms: number) => seen(attempt, ms, { phase: "absent" });
  const waiting = absorb(attempt, absent(1_000), look(1_000));
  assert.equal(waiting.failure, null);
  const lost = absorb(waiting, absent(LIMITS.appearMs), look(LIMITS.appearMs));
  assert.equal(lost.failure?.reason, "CAPACITY_SHORT");
});

test("a machine that was seen and is absent is lost", () => {
  const attempt = aRoutedAttempt();
  const after = absorb(attempt, seen(attempt, 1_000, { phase: "absent" }), look(1_000));
  assert.equal(after.failure?.reason, "MACHINE_LOST");
  assert.equal(after.routed, false);
});

test("an unclear create is not lost by absence, and is clear as soon as it is seen", () => {
  const unclear = anAttempt({ applyState: "unclear" });
  const long = LIMITS.appearMs + LIMITS.unclearMs;
  const absent = absorb(unclear, seen(unclear, long, { phase: "absent" }), look(long));
  assert.equal(absent.failure, null);
  assert.deepEqual(absent.absentSince, at(long));
  const found = absorb(absent, seen(unclear, long + 1, { phase: "provisioning" }), look(long + 1));
  assert.equal(found.applyState, "clear");
  assert.equal(found.absentSince, null);
});

test("a stopped attempt is closed only when it was asked to go and is absent", () => {
  const stopped = stop(aRoutedAttempt(), at(0), 30_000);
  const absent = seen(stopped, 5_000, { phase: "absent" });
  assert.equal(absorb(stopped, absent, look(5_000)).closedAt, null);
  const asked = { ...stopped, removeAskedAt: at(4_000) };
  assert.deepEqual(absorb(asked, absent, look(5_000)).closedAt, at(5_000));
  assert.equal(absorb(asked, seen(stopped, 5_000, {}), look(5_000)).closedAt, null);
});

test("a stopped attempt whose create may still be out is closed after the wait, or at once where names are unique", () => {
  const stopped = { ...stop(anAttempt({ applyState: "calling" }), at(0), 0), removeAskedAt: at(0) };
  const absent = (ms: number) => seen(stopped, ms, { phase: "absent" });
  const first = absorb(stopped, absent(1_000), look(1_000));
  assert.equal(first.closedAt, null);
  const later = 1_000 + LIMITS.unclearMs;
  assert.deepEqual(absorb(first, absent(later), look(later)).closedAt, at(later));
  assert.deepEqual(absorb(stopped, absent(1_000), look(1_000, true)).closedAt, at(1_000));
});

test("a call that a lost worker left out may come through for the length of another claim: no machine is taken for gone", () => {
  const found = strand(anAttempt({ applyState: "calling" }), look(0, true));
  assert.equal(found.applyState, "unclear");
  const stopped = { ...stop(found, at(0), 0), removeAskedAt: at(0) };
  const absent = (ms: number) => seen(stopped, ms, { phase: "absent" });
  const early = LIMITS.leaseMs - 1;
  assert.equal(absorb(stopped, absent(early), look(early, true)).closedAt, null);
  assert.notEqual(absorb(stopped, absent(early + 1), look(early + 1, true)).closedAt, null);
  const missing = absorb(found, seen(found, 1_000, { phase: "absent" }), look(1_000));
  assert.deepEqual(missing.absentSince, found.strandedUntil, "what leaves last may still come late");
  const absentBefore = anAttempt({ applyState: "calling", absentSince: at(0) });
  assert.equal(
    strand(absentBefore, look(LIMITS.leaseMs)).absentSince,
    null,
    "that call may have brought it since",
  );
  const settled = anAttempt({ applyState: "clear" });
  assert.equal(strand(settled, look(0)), settled);
});

test("an engine that ends while it is being stopped has not failed", () => {
  const stopped = stop(aRoutedAttempt(), at(0), 30_000);
  const after = absorb(stopped, seen(stopped, 1_000, { phase: "gone", failure: GONE }), look(1_000));
  assert.equal(after.failure, null);
});

test("download progress moves the deadline of loading; standing still does not", () => {
  const loading = (done: number) =>
    ({ phase: "loading", progress: { doneBytes: done, totalBytes: 100 } }) as const;
  const fresh = anAttempt();
  const first = absorb(fresh, seen(fresh, 1_000, loading(10)), look(1_000));
  const stuck = absorb(first, seen(first, 2_000, loading(10)), look(2_000));
  assert.deepEqual(stuck.phaseSince, at(1_000));
  const moved = absorb(stuck, seen(stuck, 3_000, loading(20)), look(3_000));
  assert.deepEqual(moved.phaseSince, at(3_000));
  assert.equal(expire(moved, look(3_000 + LIMITS.loadingMs - 1)).failure, null);
  assert.equal(expire(moved, look(3_000 + LIMITS.loadingMs)).failure?.reason, "DEADLINE");
});

test("a machine that never comes is given up at its deadline", () => {
  const attempt = anAttempt({ seen: true, phase: "provisioning", detail: "waiting for a node" });
  const after = expire(attempt, look(LIMITS.provisioningMs));
  assert.equal(after.failure?.reason, "CAPACITY_SHORT");
  assert.match(
    after.failure.message,
    /accepted the machine and had none within 30 min\. It was waiting for a node/,
  );
  assert.equal(after.failures, 0, "no room is no failure");
  const patient = { ...attempt, provisionBy: at(2 * LIMITS.provisioningMs) };
  assert.equal(expire(patient, look(LIMITS.provisioningMs)).failure, null);
  assert.equal(expire(aRoutedAttempt(), look(LIMITS.provisioningMs)).failure, null);
});

test("a provider's hint about a start that goes on is told, not taken as the end", () => {
  const attempt = anAttempt();
  const hint = { reason: "CAPACITY_SHORT", message: "0/3 nodes have a GPU", retryable: true } as const;
  const after = absorb(attempt, seen(attempt, 1_000, { phase: "provisioning", failure: hint }), look(1_000));
  assert.equal(after.failure, null);
  assert.equal(after.detail, "0/3 nodes have a GPU");
  const fatal = { ...hint, retryable: false };
  const ended = absorb(attempt, seen(attempt, 1_000, { phase: "provisioning", failure: fatal }), look(1_000));
  assert.equal(ended.failure?.retryable, false);
});

const refused = { ok: false, kind: "refused", message: "ECONNREFUSED" } as const;
const slow = { ok: false, kind: "timeout", message: "no answer within 8 s" } as const;

test("a replica that refuses completions is replaced after a few; one that is slow gets long", () => {
  let dead = aRoutedAttempt();
  for (const ms of [0, 2_000, 4_000, 6_000, 8_000]) dead = absorbProbe(dead, refused, look(ms));
  assert.equal(dead.failure, null);
  dead = absorbProbe(dead, refused, look(LIMITS.unhealthyMs));
  assert.equal(dead.failure?.reason, "ENGINE_UNHEALTHY");
  let busy = aRoutedAttempt();
  for (let ms = 0; ms < LIMITS.unansweringMs; ms += 10_000) busy = absorbProbe(busy, slow, look(ms));
  assert.equal(busy.failure, null);
  assert.equal(absorbProbe(busy, slow, look(LIMITS.unansweringMs)).failure?.reason, "ENGINE_UNHEALTHY");
});

test("one good completion forgets the bad ones", () => {
  const bad = absorbProbe(aRoutedAttempt(), refused, look(0));
  const good = absorbProbe(bad, { ok: true }, look(2_000));
  assert.equal(good.probeFailures, 0);
  assert.equal(good.probeFailedSince, null);
});

test("stopping again keeps the first stop", () => {
  const first = stop(aRoutedAttempt(), at(1_000), 30_000);
  assert.equal(stop(first, at(2_000), 0), first);
  assert.equal(stop(anAttempt(), at(1_000), 30_000).graceMs, 0);
});

for (const reason of ["CAPACITY_SHORT", "RATE_LIMITED", "PLACE_UNAVAILABLE", "UNAVAILABLE"] as const) {
  test(`${reason} of a provider is waited for in its own words, and counts as no failure`, () => {
    const failure = failureOf({ reason, message: "the account may have 8 GPUs", retryable: true });
    const failed = fail(anAttempt({ failures: 2 }), failure, look(0));
    assert.equal(failed.failures, 2);
    assert.equal(failed.failure?.message, "the account may have 8 GPUs");
  });
}
