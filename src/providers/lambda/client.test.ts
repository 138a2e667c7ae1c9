import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { LambdaRegion } from "../../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { API_KEY, type FakeOptions, startFakeLambda } from "../../../test/support/lambda/fake-lambda.ts";
import { hurriedClock, tempDir, testCtx } from "../../../test/support/weights.ts";
import { StatusError } from "../../base/status.ts";
import { type LaunchOrder, lambdaApi } from "./api.ts";
import { lambdaClient } from "./client.ts";
import { hardwareOf } from "./hardware.ts";
import { instanceName, partsOf } from "./instance-name.ts";
import { LAMBDA_REGIONS } from "./regions.ts";

const LIST = "GET /instances";
const LAUNCH = "POST /instance-operations/launch";
const ORDER: LaunchOrder = {
  region_name: "us-east-1",
  instance_type_name: "gpu_1x_h100_sxm5",
  ssh_key_names: ["ops"],
  name: "sw-0a1b2c3d-0123456789abcdef-tj2k9x",
  user_data: "#cloud-config\n{}",
};

async function account(t: TestContext, options: FakeOptions = {}, pauseMs = 0) {
  const fake = await startFakeLambda(t, options);
  const apiKeyFile = join(await tempDir(t), "api-key");
  await writeFile(apiKeyFile, `${API_KEY}\n`);
  const client = lambdaClient({ apiKeyFile, endpoint: fake.endpoint }, { pauseMs });
  t.after(() => client.close());
  const clock = hurriedClock();
  return { fake, apiKeyFile, clock, ctx: testCtx(clock), api: lambdaApi(client) };
}

async function refusalOf(work: Promise<unknown>): Promise<StatusError> {
  return work.then(
    () => assert.fail("it was not refused"),
    (error: unknown) => {
      assert.ok(error instanceof StatusError, String(error));
      return error;
    },
  );
}

test("a launched machine is listed under its name, and gone when it was terminated; twice is once", async (t) => {
  const { api, ctx } = await account(t);
  const id = await api.launch(ctx, ORDER);
  assert.deepEqual(
    (await api.instances(ctx)).map((one) => [one.id, one.name, one.region.name]),
    [[id, ORDER.name, "us-east-1"]],
  );
  await api.terminate(ctx, id);
  await api.terminate(ctx, id);
  await api.terminate(ctx, "neverwas");
});

test("no room, no quota, no credentials and a wrong order are told apart, and are definite", async (t) => {
  const { api, ctx, fake } = await account(t, { quota: 1 });
  fake.capacity(ORDER.instance_type_name, ["us-west-2"]);
  const full = await refusalOf(api.launch(ctx, ORDER));
  assert.deepEqual([full.reason, full.code], ["CAPACITY_SHORT", "RESOURCE_EXHAUSTED"]);
  const elsewhere = { ...ORDER, region_name: "us-west-2" };
  await api.launch(ctx, elsewhere);
  const quota = await refusalOf(api.launch(ctx, elsewhere));
  assert.deepEqual([quota.reason, quota.code], ["CAPACITY_SHORT", "FAILED_PRECONDITION"]);
  assert.match(quota.message, /quota.*support/);
  const wrong = await refusalOf(api.launch(ctx, { ...elsewhere, name: "x".repeat(65) }));
  assert.deepEqual([wrong.reason, wrong.code], ["CONFIG_INVALID", "FAILED_PRECONDITION"]);
  fake.keys.clear();
  const revoked = await refusalOf(api.instances(ctx));
  assert.deepEqual([revoked.reason, revoked.code], ["PLACE_UNAVAILABLE", "UNAUTHENTICATED"]);
  assert.match(revoked.message, /lambda.apiKeyFile/);
  assert.doesNotMatch(revoked.message, new RegExp(API_KEY));
});

test("a launch goes out once whatever becomes of its answer; a list is asked for again", async (t) => {
  const { api, ctx, fake } = await account(t);
  fake.fail({ on: LAUNCH, kind: "reply-lost" });
  assert.equal((await refusalOf(api.launch(ctx, ORDER))).code, "UNAVAILABLE");
  assert.equal(fake.alive().length, 1, "it is there all the same");
  fake.fail({ on: LIST, kind: "reply-lost", times: 2 });
  assert.equal((await api.instances(ctx)).length, 1);
  const down = { kind: "answer", status: 503, code: "provider/internal-unavailable", message: "" } as const;
  fake.fail({ on: LAUNCH, ...down });
  assert.equal((await refusalOf(api.launch(ctx, ORDER))).code, "UNAVAILABLE");
  assert.equal(fake.launches.length, 1);
});

test("a rate limit is waited out as long as Lambda says, for launches too, and told when it is long", async (t) => {
  const { api, ctx, clock, fake } = await account(t);
  const limited = { kind: "answer", status: 429, code: "global/rate", message: "" } as const;
  fake.fail({ on: LAUNCH, ...limited });
  await api.launch(ctx, ORDER);
  assert.ok(clock.slept.includes(1_000), "as Retry-After says");
  fake.fail({ on: LIST, ...limited, times: 9 });
  assert.equal((await refusalOf(api.instances(ctx))).reason, "RATE_LIMITED");
});

test("requests of one process keep Lambda's pace, whoever asks", async (t) => {
  const { api, fake } = await account(t, { requestPauseMs: 40 }, 60);
  const live = { ...testCtx(), clock: (await import("../../base/clock.ts")).systemClock };
  await Promise.all([api.instances(live), api.instances(live), api.sshKeys(live)]);
  assert.equal(fake.seen.length, 3, "none was refused");
});

test("an answer that is no list is no answer, and never an empty list", async (t) => {
  const { api, ctx, fake } = await account(t);
  fake.fail({ on: LIST, kind: "stale", data: { instances: "none" }, times: 9 });
  assert.equal((await refusalOf(api.instances(ctx))).code, "UNAVAILABLE");
});

test("a key file that is missing or damaged is told by its setting, and a renewed one is taken at once", async (t) => {
  const { api, ctx, apiKeyFile } = await account(t);
  await writeFile(apiKeyFile, "two words");
  assert.match((await refusalOf(api.instances(ctx))).message, /lambda.apiKeyFile/);
  await writeFile(apiKeyFile, API_KEY);
  assert.deepEqual(await api.instances(ctx), []);
});

test("names carry the replica, the time and the end, and other names mean nothing", () => {
  const replica = "sw-0a1b2c3d-0123456789abcdef";
  const launchedAt = new Date("2026-11-25T16:00:00Z");
  const name = instanceName({ replica, launchedAt });
  assert.ok(name.length <= 64);
  assert.deepEqual(partsOf(name), { replica, launchedAt });
  const going = { replica, launchedAt, killAt: new Date("2026-11-25T16:30:00Z") };
  assert.deepEqual(partsOf(instanceName(going)), going);
  for (const other of ["", null, undefined, replica, `${replica}-!`, `x${name}`])
    assert.equal(partsOf(other), undefined);
});

test("the regions are those that the wire has names for", () => {
  const names = Object.values(LambdaRegion).filter(
    (name) => typeof name === "string" && name !== "UNSPECIFIED",
  );
  assert.deepEqual(
    names.map((name) => String(name).toLowerCase().replaceAll("_", "-")).sort(),
    [...LAMBDA_REGIONS].sort(),
  );
});

test("types are what Lambda calls them, with the memory that the driver sees; unknown GPUs are left out", async (t) => {
  const { api, ctx } = await account(t);
  const found = (await api.instanceTypes(ctx)).map(hardwareOf).filter((one) => one !== undefined);
  const of = (name: string) => found.find((one) => one.instanceType === name);
  assert.equal(of("gpu_1x_gh200"), undefined);
  assert.equal(of("gpu_1x_a100_sxm4")?.gpuMemoryBytes, 40_960 * 2 ** 20);
  const big = of("gpu_8x_h100_sxm5");
  assert.deepEqual([big?.gpuType, big?.gpuCount, big?.centsPerHour], ["H100", 8, 3_192]);
  assert.equal(of("gpu_1x_b200_sxm6")?.gpuType, "B200");
});
