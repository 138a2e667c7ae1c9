import assert from "node:assert/strict";
import { test } from "node:test";
import { modelFixture } from "../../test/support/models.ts";
import { silentLog } from "../base/log.ts";
import type { ProviderMachine } from "../providers/driver.ts";
import { tellLeaks } from "./leaks.ts";
import { sweep } from "./sweep.ts";

const TEN_MINUTES = 10 * 60_000;

/** A provider whose list is what the test says; removals are noted and take away. */
async function fixture(t: Parameters<typeof modelFixture>[0]) {
  const f = await modelFixture(t);
  const listed: ProviderMachine[] = [];
  const removed: string[] = [];
  const driver = {
    ...f.local,
    list: async () => listed,
    async remove(_ctx: unknown, name: string) {
      removed.push(name);
      const at = listed.findIndex((machine) => machine.name === name);
      if (at >= 0) listed.splice(at, 1);
    },
  };
  const deps = { ...f.deps, drivers: [driver] };
  const add = (name: string, installationId = deps.installationId) =>
    listed.push({ name, installationId, createdAt: f.clock.now() });
  const pass = async (input: { reportOnly?: boolean; removalsAllowed?: number } = {}) => {
    const [result] = await sweep(f.ctx, deps, { now: f.clock.now(), ...input });
    assert.ok(result);
    return result;
  };
  return { f, deps, add, pass, removed };
}

test("a machine without an owner is removed once it is old enough and was seen so twice", async (t) => {
  const { f, add, pass, removed } = await fixture(t);
  add("sw-lost");
  assert.deepEqual((await pass()).unowned, ["sw-lost"]);
  f.clock.advance(TEN_MINUTES - 1);
  await pass();
  assert.deepEqual(removed, []);
  f.clock.advance(1);
  assert.deepEqual((await pass()).removed, ["sw-lost"]);
});

test("one look is not enough, however old the machine is", async (t) => {
  const { f, add, pass, removed } = await fixture(t);
  add("sw-lost");
  f.clock.advance(2 * TEN_MINUTES);
  await pass();
  assert.deepEqual(removed, []);
  f.clock.advance(1_000);
  await pass();
  assert.deepEqual(removed, ["sw-lost"]);
});

test("what an attempt owns, and what is of another installation, is never touched", async (t) => {
  const { f, add, pass, removed } = await fixture(t);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  const [machine] = f.local.alive();
  assert.ok(machine);
  add(machine.name);
  add("sw-theirs", "99999999-9999-4999-8999-999999999999");
  for (let look = 0; look < 4; look++) {
    await pass();
    f.clock.advance(TEN_MINUTES);
  }
  assert.deepEqual(removed, []);
});

test("a machine that was owned again in between is seen as new", async (t) => {
  const { f, add, pass, removed } = await fixture(t);
  add("sw-flicker");
  await pass();
  f.clock.advance(TEN_MINUTES);
  const [other] = [{ ...f.deps, drivers: [{ ...f.local, list: async () => [] }] }];
  await sweep(f.ctx, other, { now: f.clock.now() });
  await pass();
  assert.deepEqual(removed, []);
});

test("more than a tenth at once is removed by nobody until an administrator has looked", async (t) => {
  const { f, add, pass, removed } = await fixture(t);
  for (let count = 0; count < 5; count++) add(`sw-${count}`);
  await pass();
  f.clock.advance(TEN_MINUTES);
  const blocked = await pass();
  assert.equal(blocked.blocked, true);
  assert.deepEqual(removed, []);
  const allowed = await pass({ removalsAllowed: 5 });
  assert.equal(allowed.removed.length, 5);
});

test("after a restore it only tells", async (t) => {
  const { f, add, pass, removed } = await fixture(t);
  add("sw-lost");
  await pass({ reportOnly: true });
  f.clock.advance(TEN_MINUTES);
  assert.deepEqual((await pass({ reportOnly: true })).unowned, ["sw-lost"]);
  assert.deepEqual(removed, []);
});

test("a provider that can't be listed is left alone", async (t) => {
  const f = await modelFixture(t);
  const silent = { ...f.local, list: async () => Promise.reject(new Error("down")) };
  assert.deepEqual(await sweep(f.ctx, { ...f.deps, drivers: [silent] }, { now: f.clock.now() }), []);
});

test("each day it is told whether anything leaks: what should be gone by now, what is blocked, and who was not swept", async (t) => {
  const { f, deps, add, pass } = await fixture(t);
  const lines: string[] = [];
  const note = (level: string) => (_facts: unknown, line: string) => void lines.push(`${level} ${line}`);
  const log = { ...silentLog, info: note("info"), error: note("error") } as typeof silentLog;
  const tell = () => tellLeaks({ ...f.ctx, log }, deps);
  assert.deepEqual((await tell()).unswept, ["local"]);
  await pass();
  assert.deepEqual(await tell(), { leaks: 0, sweptAt: f.clock.now(), blocked: [], unswept: [] });
  add("sw-lost");
  await pass({ reportOnly: true });
  assert.equal((await tell()).leaks, 0, "what was only just seen is not leaked yet");
  f.clock.advance(2 * TEN_MINUTES + 1);
  await pass({ reportOnly: true });
  assert.equal((await tell()).leaks, 1);
  await pass();
  await pass();
  assert.equal((await tell()).leaks, 0);
  assert.deepEqual(lines, [
    "error leaks: 0",
    "info leaks: 0",
    "info leaks: 0",
    "error leaks: 1",
    "info leaks: 0",
  ]);
});
