/**
 * What every driver promises, as one suite: each driver's test file runs it over real engines of its own. A promise that a
 * driver can't keep is a reason not to ship the driver. What can go wrong only at some providers is in driver-faults.ts: a driver's
 * test names each fault as injected, and then its promise is proven, or says why it can't be.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { StatusError } from "../../src/base/status.ts";
import { conditionReasonOf, isCapacityReason } from "../../src/models/reasons.ts";
import type { Driver, ReplicaObservation, ReplicaSpec } from "../../src/providers/driver.ts";
import { replicaName } from "../../src/providers/replica-name.ts";
import { askEngine } from "../support/ask-engine.ts";
import { liveCtx, untilPhase } from "../support/local-driver.ts";
import { FAULTS, type FaultName, type FaultTable, type Injected } from "./driver-faults.ts";

export interface DriverUnderTest {
  /** A driver as one more worker has it: over the same provider, with nothing in memory. */
  worker(): Driver;
  /** A replica that can start. */
  spec(options?: { readonly contextTokens?: number; readonly installationId?: string }): Promise<ReplicaSpec>;
  /** A replica that can't, and the reason that must be told. */
  failingSpec(): Promise<{ readonly spec: ReplicaSpec; readonly reason: string }>;
  /** A worker process of its own does this and is killed by SIGKILL: at the step, else when it is done. */
  workerDies(order: {
    readonly spec: ReplicaSpec;
    readonly work: "apply" | "apply-until-up" | "remove";
    readonly graceMs?: number;
    readonly at?: string;
  }): Promise<void>;
  /** Names of the driver's crash points. */
  readonly steps: { readonly recorded: string; readonly created: string; readonly removing: string };
  /** Engines of the replica that really run, counted without the driver. */
  engines(spec: ReplicaSpec): Promise<number>;
  /** The provider keeps no log of a replica that was removed. */
  readonly logsEndWithReplica?: boolean;
  /** Ends the engine behind the driver's back, as a crash does. */
  killEngine(spec: ReplicaSpec): Promise<void>;
  /** Makes a fault of the table that is "injected"; `about` is the replica that it is about, where it is about one. */
  inject(fault: FaultName, about: ReplicaSpec): Promise<Injected>;
}

export function driverContract(
  name: string,
  faults: FaultTable,
  setUp: (t: TestContext) => Promise<DriverUnderTest>,
): void {
  const promise = (title: string, body: (under: DriverUnderTest, t: TestContext) => Promise<void>) =>
    test(`${name}: ${title}`, async (t) => body(await setUp(t), t));

  promise("what was never applied is absent, and removing it is no error", async (under) => {
    const driver = under.worker();
    const spec = await under.spec();
    assert.equal((await look(driver, spec)).phase, "absent");
    await driver.remove(liveCtx, spec.name, { graceMs: 0 });
    assert.equal((await look(driver, spec)).phase, "absent");
    assert.deepEqual(await driver.list(liveCtx, spec.key.installationId), []);
  });

  promise("an applied replica comes up and answers under its key and name", async (under) => {
    const driver = under.worker();
    const spec = await under.spec();
    await driver.apply(liveCtx, spec);
    const seen = await untilPhase(driver, spec.name, ["up", "gone"]);
    assert.equal(seen.phase, "up", seen.failure?.message);
    const answer = await chat(seen, spec, { max_tokens: 3 });
    assert.equal(answer.status, 200);
    assert.match(await answer.text(), new RegExp(`"model":"${spec.servedName}"`));
    assert.equal((await chat(seen, spec, { max_tokens: 3 }, "wrong-key")).status, 401);
  });

  promise("applying again, here or in another worker, changes nothing", async (under) => {
    const [one, other] = [under.worker(), under.worker()];
    const spec = await under.spec();
    await Promise.all([one.apply(liveCtx, spec), one.apply(liveCtx, spec), other.apply(liveCtx, spec)]);
    const before = await untilPhase(one, spec.name, ["up", "gone"]);
    await Promise.all([one.apply(liveCtx, spec), other.apply(liveCtx, spec)]);
    const after = await untilPhase(other, spec.name, ["up", "gone"]);
    assert.deepEqual(after.address, before.address);
    assert.equal(await under.engines(spec), 1);
  });

  promise("two processes that apply at the same moment get one engine", async (under) => {
    const spec = await under.spec();
    await Promise.all([
      under.workerDies({ spec, work: "apply-until-up" }),
      under.workerDies({ spec, work: "apply-until-up" }),
    ]);
    assert.equal((await untilPhase(under.worker(), spec.name, ["up", "gone"])).phase, "up");
    assert.equal(await under.engines(spec), 1);
  });

  promise(
    "a worker that dies between writing down and creating is made up for by the next",
    async (under) => {
      const spec = await under.spec();
      await under.workerDies({ spec, work: "apply", at: under.steps.recorded });
      assert.equal(await under.engines(spec), 0);
      const driver = under.worker();
      assert.deepEqual(
        (await driver.list(liveCtx, spec.key.installationId)).map((one) => one.name),
        [spec.name],
      );
      await driver.apply(liveCtx, spec);
      assert.equal((await untilPhase(driver, spec.name, ["up", "gone"])).phase, "up");
      assert.equal(await under.engines(spec), 1);
    },
  );

  promise(
    "an engine whose creator died before it could know is found, and not created twice",
    async (under) => {
      const spec = await under.spec();
      await under.workerDies({ spec, work: "apply-until-up", at: under.steps.created });
      const driver = under.worker();
      await driver.apply(liveCtx, spec);
      assert.equal((await untilPhase(driver, spec.name, ["up", "gone"])).phase, "up");
      assert.equal(await under.engines(spec), 1);
    },
  );

  promise("an engine outlives its worker and is adopted by the next", async (under) => {
    const spec = await under.spec();
    await under.workerDies({ spec, work: "apply-until-up" });
    const driver = under.worker();
    const seen = await look(driver, spec);
    assert.equal(seen.phase, "up");
    assert.equal((await chat(seen, spec, { max_tokens: 2 })).status, 200);
    await driver.apply(liveCtx, spec);
    assert.equal(await under.engines(spec), 1);
    await driver.remove(liveCtx, spec.name, { graceMs: 5_000 });
    await untilPhase(driver, spec.name, ["absent"]);
    assert.equal(await under.engines(spec), 0);
  });

  promise("an engine that is killed is gone with words, and may be tried again", async (under) => {
    const driver = under.worker();
    const spec = await under.spec();
    await driver.apply(liveCtx, spec);
    await untilPhase(driver, spec.name, ["up"]);
    await under.killEngine(spec);
    const seen = await untilPhase(driver, spec.name, ["gone"]);
    assert.equal(seen.failure?.reason, "ENGINE_FAILED");
    assert.equal(seen.failure.retryable, true);
    assert.ok(seen.failure.message.length > 20);
    await driver.apply(liveCtx, spec);
    assert.equal((await look(driver, spec)).phase, "gone", "one attempt has one engine");
    await driver.remove(liveCtx, spec.name, { graceMs: 60_000 });
    await untilPhase(driver, spec.name, ["absent"]);
    await driver.remove(liveCtx, spec.name, { graceMs: 60_000 });
  });

  promise("a start that can't succeed is gone with its reason, in every worker", async (under) => {
    const { spec, reason } = await under.failingSpec();
    const driver = under.worker();
    await driver.apply(liveCtx, spec);
    const seen = await untilPhase(driver, spec.name, ["gone", "up"]);
    assert.equal(seen.failure?.reason, reason);
    assert.equal(seen.failure.retryable, false);
    assert.deepEqual((await look(under.worker(), spec)).failure, seen.failure);
    assert.doesNotMatch(seen.failure.message, new RegExp(spec.secrets.engineKey));
  });

  promise("a replica that is removed first finishes what it streams", async (under) => {
    const driver = under.worker();
    const spec = await under.spec();
    await driver.apply(liveCtx, spec);
    const seen = await untilPhase(driver, spec.name, ["up"]);
    const answer = await chat(seen, spec, { max_tokens: 400, stream: true, ignore_eos: true });
    const reader = answer.body?.getReader();
    assert.ok(reader);
    let streamed = Buffer.from((await reader.read()).value ?? "").toString();
    await driver.remove(liveCtx, spec.name, { graceMs: 60_000 });
    assert.notEqual((await look(driver, spec)).phase, "absent");
    assert.equal((await look(driver, spec)).address, undefined, "nothing new is sent there");
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      streamed += Buffer.from(piece.value).toString();
    }
    assert.match(streamed, /data: \[DONE\]\s*$/);
    await untilPhase(driver, spec.name, ["absent"]);
    assert.equal(await under.engines(spec), 0);
  });

  promise("past its grace a replica is ended, whatever it streams", async (under) => {
    const driver = under.worker();
    const spec = await under.spec({ contextTokens: 4_096 });
    await driver.apply(liveCtx, spec);
    const seen = await untilPhase(driver, spec.name, ["up"]);
    const answer = await chat(seen, spec, { max_tokens: 4_000, stream: true, ignore_eos: true });
    const reader = answer.body?.getReader();
    await reader?.read();
    await driver.remove(liveCtx, spec.name, { graceMs: 60_000 });
    await driver.remove(liveCtx, spec.name, { graceMs: 100 });
    await untilPhase(driver, spec.name, ["absent"]);
    assert.equal(await under.engines(spec), 0);
    await assert.rejects(async () => {
      while (reader && !(await reader.read()).done);
    });
  });

  promise("a removal whose worker died is finished by who looks next", async (under) => {
    const spec = await under.spec();
    const driver = under.worker();
    await driver.apply(liveCtx, spec);
    await untilPhase(driver, spec.name, ["up"]);
    await under.workerDies({ spec, work: "remove", graceMs: 1_000, at: under.steps.removing });
    assert.equal(await under.engines(spec), 1);
    await untilPhase(under.worker(), spec.name, ["absent"]);
    assert.equal(await under.engines(spec), 0);
  });

  promise("the list names what exists of this installation, and nothing of another", async (under) => {
    const driver = under.worker();
    const mine = await under.spec();
    const sibling = await under.spec({ installationId: mine.key.installationId });
    const stranger = await under.spec();
    for (const spec of [mine, sibling, stranger]) await driver.apply(liveCtx, spec);
    const listed = await under.worker().list(liveCtx, mine.key.installationId);
    assert.deepEqual(listed.map((one) => one.name).sort(), [mine.name, sibling.name].sort());
    for (const one of listed) assert.ok(Math.abs(one.createdAt.getTime() - Date.now()) < 120_000);
    for (const spec of [mine, sibling, stranger]) {
      await driver.remove(liveCtx, spec.name, { graceMs: 0 });
      await untilPhase(driver, spec.name, ["absent"]);
    }
    assert.deepEqual(await driver.list(liveCtx, mine.key.installationId), []);
  });

  promise("logs can be read while a replica runs, followed, and read after it failed", async (under) => {
    const driver = under.worker();
    const spec = await under.spec();
    await assert.rejects(
      lines(driver, spec, { tailLines: 5, follow: false }),
      (error) => error instanceof StatusError && error.reason === "LOGS_UNAVAILABLE",
    );
    await driver.apply(liveCtx, spec);
    await untilPhase(driver, spec.name, ["up"]);
    const tail = await lines(driver, spec, { tailLines: 1, follow: false });
    assert.equal(tail.length, 1);
    assert.match(tail[0] ?? "", /ready/);
    const followed = lines(driver, spec, { tailLines: 0, follow: true });
    await driver.remove(liveCtx, spec.name, { graceMs: 5_000 });
    await untilPhase(driver, spec.name, ["absent"]);
    assert.ok((await followed).some((line) => line.includes("draining")));
    const kept = lines(driver, spec, { tailLines: 100, follow: true });
    if (under.logsEndWithReplica) {
      await assert.rejects(
        kept,
        (error) => error instanceof StatusError && error.reason === "LOGS_UNAVAILABLE",
      );
    } else assert.ok((await kept).some((line) => line.includes("ready")));
  });

  promise("offers say how replicas are reached and what one may have", async (under) => {
    const offers = await under.worker().offers(liveCtx);
    assert.ok(offers.length > 0);
    for (const offer of offers) {
      assert.ok(offer.cpuCount > 0 && offer.cpuMemoryBytes > 0);
      assert.ok(offer.gpuCountMax >= 0);
    }
  });

  promise("what nobody remembers is found by the list and removed by its name alone", async (under) => {
    const spec = await under.spec();
    await under.workerDies({ spec, work: "apply-until-up" });
    const driver = under.worker();
    for (const one of await driver.list(liveCtx, spec.key.installationId)) {
      await driver.remove(liveCtx, one.name, { graceMs: 0 });
    }
    await untilPhase(driver, spec.name, ["absent"]);
    assert.deepEqual(await driver.list(liveCtx, spec.key.installationId), []);
    assert.equal(await under.engines(spec), 0);
  });

  promise("a new generation comes up beside the old one, which then goes alone", async (under) => {
    const driver = under.worker();
    const old = await under.spec();
    const key = { ...old.key, generation: old.key.generation + 1 };
    const next: ReplicaSpec = { ...old, key, name: replicaName(key) };
    for (const spec of [old, next]) {
      await driver.apply(liveCtx, spec);
      await untilPhase(driver, spec.name, ["up"]);
    }
    assert.deepEqual(await Promise.all([old, next].map(under.engines)), [1, 1]);
    await driver.remove(liveCtx, old.name, { graceMs: 0 });
    await untilPhase(driver, old.name, ["absent"]);
    assert.equal((await chat(await look(driver, next), next, { max_tokens: 1 })).status, 200);
    assert.deepEqual(await Promise.all([old, next].map(under.engines)), [0, 1]);
  });

  for (const [fault, keep] of Object.entries(FAULT_PROMISES) as [FaultName, FaultPromise][]) {
    const declared = faults[fault];
    if (declared === "injected") {
      promise(`${fault} (${FAULTS[fault]}): ${keep.title}`, (under) =>
        keep.body(under, (about) => under.inject(fault, about)),
      );
    } else {
      test(`${name}: why "${fault}" can't be injected is said`, () => {
        assert.ok(declared.cannot.length > 20, `${fault}: ${declared.cannot}`);
      });
    }
  }
}

interface FaultPromise {
  readonly title: string;
  body(under: DriverUnderTest, inject: (about: ReplicaSpec) => Promise<Injected>): Promise<void>;
}

/** Time in which a driver that waits for better times is left to wait. */
const PATIENCE_MS = 2_000;

const FAULT_PROMISES: Readonly<Record<FaultName, FaultPromise>> = {
  "lost reply": {
    title: "the next worker finds the machine and makes no second",
    async body(under, inject) {
      const fault = await inject(await under.spec());
      const spec = fault.spec ?? (await under.spec());
      const refusal = await refusalOf(under.worker().apply(liveCtx, spec));
      if (refusal) assert.match(refusal.code, /UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|UNKNOWN|CANCELLED/);
      await fault.mend();
      await comesUpOnce(under, spec);
    },
  },
  "accepted, then nothing": {
    title: "it is never told as up, and is removed as if it were there",
    async body(under, inject) {
      const fault = await inject(await under.spec());
      const spec = fault.spec ?? (await under.spec());
      const driver = under.worker();
      await driver.apply(liveCtx, spec);
      for (let looks = 0; looks < 5; looks++) {
        assert.match((await look(driver, spec)).phase, /absent|provisioning|loading|unknown/);
      }
      await driver.remove(liveCtx, spec.name, { graceMs: 0 });
      await fault.mend();
      await untilPhase(driver, spec.name, ["absent"]);
      assert.deepEqual(await driver.list(liveCtx, spec.key.installationId), []);
      assert.equal(await under.engines(spec), 0);
    },
  },
  "slow create": {
    title: "whoever asks meanwhile makes no second",
    async body(under, inject) {
      const fault = await inject(await under.spec());
      const spec = fault.spec ?? (await under.spec());
      const workers = [under.worker(), under.worker()];
      const asked = Promise.allSettled(workers.map((worker) => worker.apply(liveCtx, spec)));
      await Promise.race([asked, liveCtx.clock.sleep(PATIENCE_MS)]);
      assert.match((await look(under.worker(), spec)).phase, /absent|provisioning|loading|unknown/);
      await fault.mend();
      await asked;
      await comesUpOnce(under, spec);
    },
  },
  "broken list": {
    title: "it is an error, and nothing counts as absent by it",
    async body(under, inject) {
      const driver = under.worker();
      const mine = await under.spec();
      const sibling = await under.spec({ installationId: mine.key.installationId });
      for (const spec of [mine, sibling]) await driver.apply(liveCtx, spec);
      for (const spec of [mine, sibling]) await untilPhase(driver, spec.name, ["up"]);
      const fault = await inject(mine);
      await assert.rejects(driver.list(liveCtx, mine.key.installationId), StatusError);
      for (const spec of [mine, sibling]) assert.notEqual((await look(driver, spec)).phase, "absent");
      await fault.mend();
      assert.equal((await driver.list(liveCtx, mine.key.installationId)).length, 2);
    },
  },
  vanished: {
    title: "it is told, and removing it is no error",
    async body(under, inject) {
      const driver = under.worker();
      const spec = await under.spec();
      await driver.apply(liveCtx, spec);
      await untilPhase(driver, spec.name, ["up"]);
      const fault = await inject(spec);
      await untilPhase(driver, spec.name, ["absent", "gone"]);
      await driver.remove(liveCtx, spec.name, { graceMs: 1_000 });
      await untilPhase(driver, spec.name, ["absent"]);
      assert.deepEqual(await driver.list(liveCtx, spec.key.installationId), []);
      await fault.mend();
    },
  },
  "stale reads": {
    title: "what is not shown yet is not made twice, and not called lost",
    async body(under, inject) {
      const fault = await inject(await under.spec());
      const spec = fault.spec ?? (await under.spec());
      const driver = under.worker();
      await driver.apply(liveCtx, spec);
      // Where names are not unique, nobody asks again before the name was seen or stayed absent for long.
      if (driver.createIsIdempotent) await under.worker().apply(liveCtx, spec);
      assert.notEqual((await look(driver, spec)).phase, "gone");
      await fault.mend();
      await comesUpOnce(under, spec);
    },
  },
  "no capacity": { title: "it is a reason to wait, told in words, and leaves nothing", body: waitsForRoom },
  "no quota": { title: "it is a reason to wait, told in words, and leaves nothing", body: waitsForRoom },
  "credentials revoked": {
    title: "they are named, and nothing counts as absent by it",
    body: (under, inject) => staysUnknown(under, inject, /credential|token|key|permission|right|allow/i),
  },
  unreachable: {
    title: "nothing counts as absent by it, and nothing is made twice",
    body: (under, inject) => staysUnknown(under, inject, /./),
  },
  "rate limited": {
    title: "it is waited for, and nothing is made twice",
    async body(under, inject) {
      const fault = await inject(await under.spec());
      const spec = fault.spec ?? (await under.spec());
      const driver = under.worker();
      const asked = refusalOf(driver.apply(liveCtx, spec));
      const refusal = await Promise.race([asked, liveCtx.clock.sleep(PATIENCE_MS)]);
      if (refusal) assertCapacity(refusal);
      assert.match((await look(driver, spec)).phase, /absent|unknown/);
      await fault.mend();
      await asked;
      await comesUpOnce(under, spec);
    },
  },
};

async function waitsForRoom(
  under: DriverUnderTest,
  inject: (about: ReplicaSpec) => Promise<Injected>,
): Promise<void> {
  const fault = await inject(await under.spec());
  const spec = fault.spec ?? (await under.spec());
  const driver = under.worker();
  const refusal = await refusalOf(driver.apply(liveCtx, spec));
  if (refusal) assertCapacity(refusal);
  const told = refusal?.message ?? (await wordsOf(driver, spec, fault.words ?? /./));
  assert.match(told, fault.words ?? /./);
  assert.equal(await under.engines(spec), 0);
  await driver.remove(liveCtx, spec.name, { graceMs: 0 });
  await untilPhase(driver, spec.name, ["absent"]);
  await fault.mend();
  const next = await under.spec();
  await driver.apply(liveCtx, next);
  await untilPhase(driver, next.name, ["up"]);
}

async function staysUnknown(
  under: DriverUnderTest,
  inject: (about: ReplicaSpec) => Promise<Injected>,
  words: RegExp,
): Promise<void> {
  const driver = under.worker();
  const spec = await under.spec();
  await driver.apply(liveCtx, spec);
  await untilPhase(driver, spec.name, ["up"]);
  const fault = await inject(spec);
  assert.doesNotMatch((await look(driver, spec)).phase, /absent|gone/);
  await assert.rejects(driver.list(liveCtx, spec.key.installationId), StatusError);
  const refusal = await refusalOf(driver.apply(liveCtx, await under.spec()));
  assert.ok(refusal, "an apply that nobody heard has failed");
  assert.match(refusal.message, fault.words ?? words);
  assertCapacity(refusal);
  await fault.mend();
  await comesUpOnce(under, spec);
}

async function comesUpOnce(under: DriverUnderTest, spec: ReplicaSpec): Promise<void> {
  const driver = under.worker();
  await driver.apply(liveCtx, spec);
  const seen = await untilPhase(driver, spec.name, ["up", "gone"]);
  assert.equal(seen.phase, "up", seen.failure?.message);
  assert.equal(await under.engines(spec), 1);
  const listed = await driver.list(liveCtx, spec.key.installationId);
  assert.deepEqual(
    listed.map((one) => one.name),
    [spec.name],
  );
}

/** What an apply was refused with; undefined when it was not. Anything but a StatusError is a breach. */
async function refusalOf(applied: Promise<void>): Promise<StatusError | undefined> {
  try {
    await applied;
    return undefined;
  } catch (error) {
    assert.ok(error instanceof StatusError, String(error));
    return error;
  }
}

function assertCapacity(refusal: Pick<StatusError, "reason" | "message">): void {
  assert.ok(isCapacityReason(conditionReasonOf(refusal.reason)), `${refusal.reason}: ${refusal.message}`);
}

/** What a driver that accepts and lets the provider queue tells of it: as its failure, which must be one of capacity, or its detail. */
async function wordsOf(driver: Driver, spec: ReplicaSpec, words: RegExp): Promise<string> {
  const giveUpAt = performance.now() + WORDS_WAIT_MS;
  for (;;) {
    const seen = await look(driver, spec);
    assert.notEqual(seen.phase, "up");
    if (seen.failure) assertCapacity(seen.failure);
    const told = seen.failure?.message ?? seen.detail ?? "";
    if (words.test(told)) return told;
    assert.ok(performance.now() < giveUpAt, `never told: ${words}; last ${JSON.stringify(seen)}`);
    await liveCtx.clock.sleep(50);
  }
}

const WORDS_WAIT_MS = 60_000;

async function look(driver: Driver, spec: ReplicaSpec): Promise<ReplicaObservation> {
  const [seen] = await driver.observe(liveCtx, [spec.name]);
  assert.ok(seen);
  return seen;
}

function chat(
  seen: ReplicaObservation,
  spec: ReplicaSpec,
  body: object,
  key = spec.secrets.engineKey,
): ReturnType<typeof askEngine> {
  assert.ok(seen.address, `${seen.phase}: ${seen.detail}`);
  return askEngine(seen.address, "/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: spec.servedName,
      messages: [{ role: "user", content: "hello" }],
      ...body,
    }),
  });
}

async function lines(
  driver: Driver,
  spec: ReplicaSpec,
  options: { tailLines: number; follow: boolean },
): Promise<string[]> {
  const read: string[] = [];
  for await (const line of driver.logs(liveCtx, spec.name, options)) read.push(line);
  return read;
}
