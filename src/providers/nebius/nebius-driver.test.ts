import assert from "node:assert/strict";
import { test } from "node:test";
import { gpuSpec, hurriedCtx, type NebiusParts, nebiusParts } from "../../../test/support/nebius/parts.ts";
import { systemClock } from "../../base/clock.ts";
import type { ReplicaSpec } from "../driver.ts";

const MINUTE_MS = 60_000;

async function look({ driver }: NebiusParts, { name }: ReplicaSpec) {
  const [seen] = await driver.observe(hurriedCtx, [name]);
  assert.ok(seen);
  return seen;
}

async function until(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
  const giveUpAt = performance.now() + 20_000;
  while (!(await look())) {
    assert.ok(performance.now() < giveUpAt, `this never came: ${what}`);
    await systemClock.sleep(10);
  }
}

test("a replica gets a group of its own, with its size, its label and its taint, once however often it is asked for", async (t) => {
  const parts = await nebiusParts(t);
  const spec = gpuSpec(8);
  await Promise.all([parts.driver.apply(hurriedCtx, spec), parts.driver.apply(hurriedCtx, spec)]);
  await parts.driver.apply(hurriedCtx, spec);
  assert.deepEqual(parts.fake.cloud.created, [spec.name]);
  const group = parts.fake.cloud.byName(spec.name);
  const template = group?.spec?.template;
  assert.equal(group?.spec?.size.value, 1n);
  assert.equal(template?.resources?.platform, "gpu-h100-sxm");
  assert.equal(template.resources.size.value, "8gpu-128vcpu-1600gb");
  assert.deepEqual({ ...template.metadata?.labels }, { "slipway.dev/replica": spec.name });
  assert.deepEqual(
    template.taints.map(({ key, value }) => `${key}=${value}`),
    [`nvidia.com/gpu=${spec.name}`],
  );
  assert.equal(group.spec?.strategy?.maxSurge?.value.value, 0n);
  assert.equal(template.preemptible, undefined);
});

test("a create whose answer was lost is made up for, and makes no second group", async (t) => {
  const parts = await nebiusParts(t);
  const spec = gpuSpec();
  parts.fake.cloud.faults.loseReplies = 2;
  await parts.driver.apply(hurriedCtx, spec);
  assert.deepEqual(parts.fake.cloud.created, [spec.name]);
  const keys = parts.fake.calls.filter((call) => call.method.endsWith("/Create")).map((call) => call.key);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
});

test("what the cloud refuses at once is short capacity, with the cloud's numbers, and may be tried again", async (t) => {
  const parts = await nebiusParts(t);
  parts.fake.cloud.faults.refuse = "quota";
  await assert.rejects(parts.driver.apply(hurriedCtx, gpuSpec()), {
    reason: "CAPACITY_SHORT",
    code: "FAILED_PRECONDITION",
    message: /eu-north1.*compute\.instance\.gpu\.h100 allows 8, 9 would be used/,
  });
  parts.fake.cloud.faults.refuse = "no-machine";
  await assert.rejects(parts.driver.apply(hurriedCtx, gpuSpec()), {
    reason: "CAPACITY_SHORT",
    message: /no machine left.*not enough machines/,
  });
  const creates = parts.fake.calls.filter((call) => call.method.endsWith("/Create"));
  assert.equal(creates.length, 2, "what lacks is not asked for twice");
});

test("accepted, then no machine: the cloud's word ends the wait after minutes, its silence at our own deadline", async (t) => {
  const parts = await nebiusParts(t);
  const { cloud } = parts.fake;
  cloud.faults.starve = "no-machine";
  const told = gpuSpec();
  await parts.driver.apply(hurriedCtx, told);
  await until("the cloud has said so", () => (cloud.byName(told.name)?.status?.events.length ?? 0) > 0);
  const early = await look(parts, told);
  assert.equal(early.phase, "provisioning");
  assert.match(early.detail ?? "", /0 of 1 nodes ready in region eu-north1; it says: .*not enough machines/);
  cloud.age(told.name, 4 * MINUTE_MS);
  const late = await look(parts, told);
  assert.equal(late.phase, "gone");
  assert.equal(late.failure?.reason, "CAPACITY_SHORT");
  assert.equal(late.failure.retryable, true);

  cloud.faults.starve = "silent";
  const silent = gpuSpec();
  await parts.driver.apply(hurriedCtx, silent);
  cloud.age(silent.name, 14 * MINUTE_MS);
  assert.equal((await look(parts, silent)).phase, "provisioning");
  cloud.age(silent.name, 16 * MINUTE_MS);
  assert.match((await look(parts, silent)).failure?.message ?? "", /promised.*none within 15 minutes/);
});

test("a group that was accepted and is gone is told: by the ask of who did not hear, by a look of who did", async (t) => {
  const parts = await nebiusParts(t);
  const { cloud } = parts.fake;
  cloud.faults.fail = "no-machine";
  const spec = gpuSpec();
  await parts.driver.apply(hurriedCtx, spec);
  await until("it failed", () => cloud.byName(spec.name) === undefined);
  assert.equal((await look(parts, spec)).phase, "provisioning", "it may only not be shown yet");
  const row = parts.cluster.get(spec.name);
  assert.ok(row?.nodesAskedAt);
  parts.cluster.set(spec.name, { ...row, nodesAskedAt: new Date(Date.now() - MINUTE_MS) });
  const seen = await look(parts, spec);
  assert.equal(seen.failure?.reason, "PLACE_UNAVAILABLE");
  assert.equal(seen.failure.retryable, true);
  // The worker that created it died before it could write that down.
  parts.cluster.set(spec.name, { is: "there", phase: "provisioning" });
  await assert.rejects(parts.driver.apply(hurriedCtx, spec), { reason: "CAPACITY_SHORT" });
  assert.deepEqual(cloud.created, [spec.name]);
});

test("a replica that goes keeps its nodes until its engine is gone, then gives them back, whoever looks", async (t) => {
  const parts = await nebiusParts(t);
  const { cloud } = parts.fake;
  const spec = gpuSpec();
  await parts.driver.apply(hurriedCtx, spec);
  await parts.driver.remove(hurriedCtx, spec.name, { graceMs: 60_000 });
  await parts.driver.apply(hurriedCtx, spec);
  assert.equal((await look(parts, spec)).phase, "up");
  assert.equal(cloud.all().length, 1);
  parts.cluster.delete(spec.name);
  assert.equal((await look(parts, spec)).phase, "up", "the machine is still there, and costs");
  await until("the group is gone", () => cloud.all().length === 0);
  assert.equal((await look(parts, spec)).phase, "absent");
  assert.deepEqual(await parts.driver.list(hurriedCtx, spec.key.installationId), []);
});

test("without grace engine and nodes go at once, also where a reply is lost", async (t) => {
  const parts = await nebiusParts(t);
  const spec = gpuSpec();
  await parts.driver.apply(hurriedCtx, spec);
  parts.fake.cloud.faults.loseReplies = 1;
  await parts.driver.remove(hurriedCtx, spec.name, { graceMs: 0 });
  await until("the group is gone", () => parts.fake.cloud.all().length === 0);
  await parts.driver.remove(hurriedCtx, spec.name, { graceMs: 0 });
});

test("a replica that is going gets no nodes, and nothing is absent that could not be looked at", async (t) => {
  const parts = await nebiusParts(t);
  const going = gpuSpec();
  parts.cluster.set(going.name, { is: "going", phase: "up" });
  await parts.driver.apply(hurriedCtx, going);
  assert.deepEqual(parts.fake.cloud.created, []);
  parts.fake.unavailable(100);
  assert.equal((await look(parts, gpuSpec())).phase, "unknown");
});

test("the list is whole over all pages, and names groups whose replica is not in the cluster", async (t) => {
  const parts = await nebiusParts(t);
  const { installationId } = gpuSpec().key;
  const mine = Array.from({ length: 5 }, () => gpuSpec()).map((spec) => ({
    ...spec,
    key: { ...spec.key, installationId },
  }));
  for (const spec of mine) await parts.driver.apply(hurriedCtx, spec);
  await parts.driver.apply(hurriedCtx, gpuSpec());
  parts.cluster.clear();
  const listed = await parts.driver.list(hurriedCtx, installationId);
  assert.deepEqual(listed.map((one) => one.name).sort(), mine.map((one) => one.name).sort());
});

test("a token that was revoked in its life is replaced, a key that was revoked is told with the way out", async (t) => {
  const parts = await nebiusParts(t);
  await parts.driver.offers(hurriedCtx);
  parts.fake.revokeTokens();
  await parts.driver.apply(hurriedCtx, gpuSpec());
  assert.equal(parts.fake.calls.filter((call) => call.method.endsWith("/Exchange")).length, 2);
  parts.fake.revokeKey();
  await assert.rejects(parts.driver.apply(hurriedCtx, gpuSpec()), {
    reason: "PLACE_UNAVAILABLE",
    message: /refuses our credentials.*nebius\.credentials/,
  });
});

test("calls that fail for a moment are repeated", async (t) => {
  const parts = await nebiusParts(t);
  parts.fake.unavailable(2);
  const spec = gpuSpec();
  await parts.driver.apply(hurriedCtx, spec);
  assert.deepEqual(parts.fake.cloud.created, [spec.name]);
});

test("offers are what the platform has, with what the quota allows", async (t) => {
  const parts = await nebiusParts(t);
  parts.fake.quota.usage = 10n;
  const [offer] = await parts.driver.offers(hurriedCtx);
  assert.equal(offer?.gpuType, "H100");
  assert.deepEqual(offer.gpuCounts, [1, 8]);
  assert.deepEqual(offer.gpuQuota, { max: 16, used: 10 });
  assert.equal(offer.gpuMemoryBytes, 81_559 * 2 ** 20);
  await assert.rejects(parts.driver.apply(hurriedCtx, gpuSpec(2)), {
    reason: "GPU_COUNT_INVALID",
    message: /have 1 or 8 H100 GPUs; 2 were asked for/,
  });
});
