/** What is Lambda's own, over the fake of its API; machines where one is needed are the real agent. Heavier: test/acceptance/lambda. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  type Account,
  accountDriver,
  lambdaAccount,
  localGate,
} from "../../../test/support/lambda/account.ts";
import { bootMachine } from "../../../test/support/lambda/machine.ts";
import { liveCtx, untilPhase } from "../../../test/support/local-driver.ts";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec } from "../driver.ts";
import { partsOf } from "./instance-name.ts";
import { machineReport, proveMachine } from "./machine-client.ts";
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

test("a machine that is active and whose CUDA does not work is no machine, in the driver's own words", async (t) => {
  const account = await lambdaAccount(t);
  account.boot = {
    cuda: { ok: false, code: 802, message: "cuInit: error 802, system not yet initialized", final: true },
  };
  const driver = driverOf(t, account);
  const spec = await account.spec();
  await driver.apply(liveCtx, spec);
  const { failure } = await untilPhase(driver, spec.name, ["gone"]);
  assert.equal(failure?.reason, "ENGINE_FAILED");
  assert.equal(failure.retryable, true);
  assert.match(failure.message, /GPUs can't be used: cuInit: error 802/);
  await driver.remove(liveCtx, spec.name, { graceMs: 0 });
  await untilPhase(driver, spec.name, ["absent"]);
});

test("an image that can't be had is told, and may not be tried again; a second machine of a name is given back", async (t) => {
  const account = await lambdaAccount(t);
  account.boot = { pullFails: "Error response from daemon: pull access denied for vllm" };
  const driver = driverOf(t, account);
  const spec = await account.spec();
  await driver.apply(liveCtx, spec);
  const [first] = account.fake.alive(spec.name);
  assert.ok(first);
  // A launch whose answer was lost, and which came through late.
  account.fake.instances.set("late", { ...first, id: "late", name: `${spec.name}-zzzzzz`, ip: "127.0.0.9" });
  const { failure } = await untilPhase(driver, spec.name, ["gone"]);
  assert.equal(failure?.reason, "CONFIG_INVALID");
  assert.match(failure.message, /pull access denied/);
  assert.deepEqual(
    account.fake.alive(spec.name).map((one) => one.id),
    [first.id],
  );
  await driver.remove(liveCtx, spec.name, { graceMs: 0 });
});

test("a machine closes its firewall, takes orders by its token alone, and another machine at its address gets nothing", async (t) => {
  const account = await lambdaAccount(t, noMachines);
  const driver = driverOf(t, account, { sshKey: "ops" });
  const spec = await account.spec();
  await driver.apply(liveCtx, spec);
  const userData = String(account.fake.launches[0]?.user_data);
  const machine = await bootMachine({ userData, ip: "127.0.13.7", name: spec.name, gpus: 1 });
  t.after(() => machine.destroy());
  const token = machineToken(Buffer.from(account.machineKey, "hex"), spec.name);
  const at = { host: "127.0.13.7", port: account.port, token };
  const proven = await provenSoon(at);
  await assert.rejects(machineReport(liveCtx, { ...proven, token: "0".repeat(64) }), StatusError);
  await assert.rejects(
    machineReport(liveCtx, { ...proven, certificateSha256: "0".repeat(64) }),
    /Another machine/,
  );
  const other = machineToken(Buffer.alloc(32, 7), spec.name);
  await assert.rejects(proveMachine(liveCtx, { ...at, token: other }), /Another machine answers/);
  assert.equal((await machineReport(liveCtx, proven)).phase, "waiting");
  const rules = (await readFile(join(machine.folder, "firewall"), "utf8")).split("\n");
  const accepted = rules.flatMap((rule) => /\/iptables .*--dport (\d+) -j ACCEPT/.exec(rule)?.[1] ?? []);
  assert.deepEqual(accepted, ["8443", "22"]);
  assert.ok(rules.some((rule) => rule.endsWith("-A SLIPWAY -j DROP")));
});

/** It listens once it has made its certificate. */
async function provenSoon(at: Parameters<typeof proveMachine>[1]) {
  for (let tries = 0; ; tries++) {
    try {
      const proven = await proveMachine(liveCtx, at);
      if ((await machineReport(liveCtx, proven)).phase === "waiting") return proven;
    } catch (error) {
      if (tries > 200) throw error;
    }
    await liveCtx.clock.sleep(50);
  }
}

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
