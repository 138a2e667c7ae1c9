/** Machines of the fake with the real agent: what goes wrong on them, who may speak to them, and what a restart leaves. */
import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { StatusError } from "../../../src/base/status.ts";
import { machineReport, proveMachine } from "../../../src/providers/lambda/machine-client.ts";
import { machineToken } from "../../../src/providers/lambda/machine-token.ts";
import { askEngine } from "../../support/ask-engine.ts";
import { type Account, accountDriver, lambdaAccount, localGate } from "../../support/lambda/account.ts";
import { bootMachine, type RunningMachine } from "../../support/lambda/machine.ts";
import { enginesOf, liveCtx, untilPhase } from "../../support/local-driver.ts";

function driverOf(t: TestContext, account: Account, config: object = {}) {
  const driver = accountDriver(account, localGate(), { config });
  t.after(() => driver.close());
  return driver;
}

test("a machine that is active and whose CUDA does not work is no machine, in the driver's own words", async (t) => {
  const account = await lambdaAccount(t);
  account.boot = {
    cuda: { ok: false, code: 802, message: "cuInit: error 802, system not yet initialized" },
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
  const account = await lambdaAccount(t, { boot: async () => ({ destroy: async () => {} }) });
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

async function withOneMachine(t: TestContext) {
  const machines: RunningMachine[] = [];
  const account = await lambdaAccount(t, {
    boot: async (order) => {
      const machine = await bootMachine(order);
      machines.push(machine);
      return machine;
    },
  });
  const driver = driverOf(t, account);
  const spec = await account.spec();
  await driver.apply(liveCtx, spec);
  const seen = await untilPhase(driver, spec.name, ["up"]);
  const [machine] = machines;
  assert.ok(machine && seen.address);
  return { account, driver, spec, machine, address: seen.address };
}

test("an agent that was started anew goes on with the same engine, under the same certificate", async (t) => {
  const { driver, spec, machine, address } = await withOneMachine(t);
  const before = await enginesOf(spec.name);
  await machine.restartAgent();
  const seen = await untilPhase(driver, spec.name, ["up"]);
  assert.deepEqual(seen.address, address);
  assert.deepEqual(await enginesOf(spec.name), before);
  const headers = { authorization: `Bearer ${spec.secrets.engineKey}` };
  assert.equal((await askEngine(address, "/v1/models", { headers })).status, 200);
});

test("a machine that was restarted has lost its secrets, and says so rather than waiting for ever", async (t) => {
  const { driver, spec, machine, account } = await withOneMachine(t);
  for (const pid of await enginesOf(spec.name)) process.kill(pid, "SIGKILL");
  // What is in memory goes: certificate, order, key.
  await rm(join(machine.folder, "run"), { recursive: true });
  await rm(join(machine.folder, "container"), { recursive: true });
  await machine.restartAgent();
  const other = driverOf(t, account);
  const { failure } = await untilPhase(other, spec.name, ["gone"]);
  assert.match(failure?.message ?? "", /started anew/);
  assert.equal(failure?.retryable, true);
  const [seen] = await driver.observe(liveCtx, [spec.name]);
  assert.match(seen?.phase ?? "", /unknown|gone/, "who knew its certificate trusts no other");
});

test("an engine's key is asked for where the engine itself asks for none, and no secret is in its arguments or environment", async (t) => {
  const { spec, machine, address } = await withOneMachine(t);
  for (const path of ["/metrics", "/tokenize", "/version"]) {
    assert.equal((await askEngine(address, path, {})).status, 401, path);
  }
  const started = await readFile(join(machine.folder, "container", "started.json"), "utf8");
  assert.ok(!started.includes(spec.secrets.engineKey));
  const { flags } = JSON.parse(started);
  assert.match(flags["--publish"][0], /^127\.0\.0\.1:\d+:8000$/);
  assert.deepEqual(flags["--gpus"], ["all"]);
});
