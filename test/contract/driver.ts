/**
 * What every driver promises, as one suite: each driver's test file runs it over real engines of its own. A promise that a
 * driver can't keep is a reason not to ship the driver.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { StatusError } from "../../src/base/status.ts";
import type { Driver, ReplicaObservation, ReplicaSpec } from "../../src/providers/driver.ts";
import { liveCtx, untilPhase } from "../support/local-driver.ts";

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
}

export function driverContract(name: string, setUp: (t: TestContext) => Promise<DriverUnderTest>): void {
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
}

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
): Promise<Response> {
  assert.ok(seen.address, `${seen.phase}: ${seen.detail}`);
  return fetch(`http://${seen.address.host}:${seen.address.port}/v1/chat/completions`, {
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
