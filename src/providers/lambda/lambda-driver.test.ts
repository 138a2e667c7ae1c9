/** What is Lambda's own, over the fake of its API, with machines that are names only. Those that run: test/acceptance/lambda. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  type Account,
  accountDriver,
  lambdaAccount,
  localGate,
} from "../../../test/support/lambda/account.ts";
import { liveCtx, untilPhase } from "../../../test/support/local-driver.ts";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec } from "../driver.ts";
import { partsOf } from "./instance-name.ts";
import { machineToken } from "./machine-token.ts";
import type { LaunchGate } from "./options.ts";

function driverOf(t: TestContext, account: Account, config: object = {}, gate: LaunchGate = localGate()) {
  const driver = accountDriver(account, gate, { config });
  t.after(() => driver.close());
  return driver;
}

async function seenOf(driver: ReturnType<typeof driverOf>, spec: ReplicaSpec) {
  const [seen] = await driver.observe(liveCtx, [spec.name]);
  assert.ok(seen);
  return seen;
}

const noMachines = { boot: async () => ({ destroy: async () => {} }) };

test("a machine that boots long is told with its type, its region and how long; remove gives it back at once", async (t) => {
  const account = await lambdaAccount(t, { ...noMachines, bootMs: 60_000 });
  const driver = driverOf(t, account);
  const spec = { ...(await account.spec()), gpuCount: 8 };
  await driver.apply(liveCtx, spec);
  const seen = await seenOf(driver, spec);
  assert.equal(seen.phase, "provisioning");
  assert.match(seen.detail ?? "", /gpu_8x_h100_sxm5 in us-east-1 for 0 min; one with 8 GPUs can take 25 min/);
  assert.ok((driver.provisioningMaxMs ?? 0) > 25 * 60_000);
  await driver.remove(liveCtx, spec.name, { graceMs: 60_000 });
  await untilPhase(driver, spec.name, ["absent"]);
});

test("the launch carries the replica's name, one key that opens nothing, and no secret", async (t) => {
  const account = await lambdaAccount(t, noMachines);
  const driver = driverOf(t, account, {
    fileSystems: { "us-east-1": "weights" },
    firewallRulesets: { "us-east-1": ["fw1"] },
  });
  const spec = await account.spec({ hfToken: "hf_secret_of_the_hub" }).catch(() => account.spec());
  await driver.apply(liveCtx, spec);
  const [order = {}] = account.fake.launches;
  assert.equal(partsOf(String(order.name))?.replica, spec.name);
  assert.deepEqual(order.file_system_names, ["weights"]);
  assert.deepEqual(order.firewall_rulesets, [{ id: "fw1" }]);
  assert.deepEqual(order.ssh_key_names, ["slipway-no-login"]);
  assert.match(account.fake.sshKeys.get("slipway-no-login") ?? "", /^ssh-ed25519 [A-Za-z0-9+/=]{68} /);
  const token = machineToken(Buffer.from(account.machineKey, "hex"), spec.name);
  const whole = JSON.stringify(order);
  for (const secret of [token, spec.secrets.engineKey, account.machineKey])
    assert.ok(!whole.includes(secret));
  await driver.remove(liveCtx, spec.name, { graceMs: 0 });
});

test("no room is told without a launch, and the cheapest type that has what was planned is taken", async (t) => {
  const account = await lambdaAccount(t, noMachines);
  const driver = driverOf(t, account);
  const spec = await account.spec();
  account.fake.capacity("gpu_1x_h100_pcie", []);
  await driver.apply(liveCtx, spec);
  assert.equal(account.fake.launches[0]?.instance_type_name, "gpu_1x_h100_sxm5");
  account.fake.capacity("gpu_1x_h100_sxm5", ["us-west-2"]);
  await assert.rejects(
    driver.apply(liveCtx, await account.spec()),
    (error) =>
      error instanceof StatusError && error.reason === "CAPACITY_SHORT" && /us-east-1/.test(error.message),
  );
  assert.equal(account.fake.launches.length, 1);
  await assert.rejects(
    driver.apply(liveCtx, { ...(await account.spec()), gpuCount: 3 }),
    (error) =>
      error instanceof StatusError && error.reason === "GPU_COUNT_INVALID" && /1, 8/.test(error.message),
  );
});

test("offers are what Lambda rents out in each region, by type and memory, with the counts that are free", async (t) => {
  const account = await lambdaAccount(t, noMachines);
  account.fake.capacity("gpu_8x_h100_sxm5", ["us-west-2"]);
  const offers = await driverOf(t, account).offers(liveCtx);
  const h100 = offers.filter((one) => one.gpuType === "H100");
  assert.deepEqual([h100.length, h100[0]?.gpuCounts, h100[0]?.gpuCountsFree], [1, [1, 8], [1]]);
  assert.equal(h100[0]?.reach, "tls");
  const a100 = offers
    .filter((one) => one.gpuType === "A100")
    .map((one) => [one.gpuMemoryBytes, one.gpuCounts]);
  assert.deepEqual(a100, [
    [40_960 * 2 ** 20, [1]],
    [81_920 * 2 ** 20, [8]],
  ]);
});

test("a machine whose agent never answers is waited for, and then unknown rather than gone", async (t) => {
  const account = await lambdaAccount(t, noMachines);
  const driver = driverOf(t, account);
  const spec = await account.spec();
  await driver.apply(liveCtx, spec);
  const [one] = account.fake.alive(spec.name);
  assert.ok(one);
  while (one.status === "booting") await liveCtx.clock.sleep(5);
  await liveCtx.clock.sleep(30);
  assert.match((await seenOf(driver, spec)).detail ?? "", /agent does not answer yet/);
  one.name = `${spec.name}-000000`;
  await liveCtx.clock.sleep(30);
  const seen = await seenOf(driver, spec);
  assert.equal(seen.phase, "unknown");
  assert.match(seen.detail ?? "", /firewall rules/);
  one.status = "unhealthy";
  await liveCtx.clock.sleep(30);
  assert.equal((await seenOf(driver, spec)).phase, "gone");
  await account.fake.destroy(one.id);
  await liveCtx.clock.sleep(30);
  assert.equal((await seenOf(driver, spec)).phase, "absent");
});

test("a machine that boots is not refused because Lambda can't be asked about it for a moment", async (t) => {
  const account = await lambdaAccount(t, { ...noMachines, bootMs: 60_000 });
  const spec = await account.spec();
  await driverOf(t, account).apply(liveCtx, spec);
  const other = driverOf(t, account);
  for (const [status, code] of [
    [401, "global/invalid-api-key"],
    [503, "provider/internal-unavailable"],
  ] as const) {
    const fault = { kind: "answer", status, code, message: "" } as const;
    const mend = account.fake.fail({ on: "GET /instances", times: 9, ...fault });
    await assert.rejects(
      other.apply(liveCtx, spec),
      (error) => error instanceof StatusError && error.code === "UNAVAILABLE",
    );
    mend();
  }
  await other.apply(liveCtx, spec);
  assert.equal(account.fake.launches.length, 1);
});
