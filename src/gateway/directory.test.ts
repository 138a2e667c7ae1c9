import assert from "node:assert/strict";
import { test } from "node:test";
import { chat, oneModel, SERVED_NAME } from "../../test/support/gateway/gateway.ts";
import { ManualClock } from "../../test/support/gateway/manual-clock.ts";
import {
  ALICE,
  ALICE_KEY,
  hashOf,
  keyOf,
  MODEL,
  MODEL_KEY,
  routeOf,
} from "../../test/support/gateway/memory-control.ts";

const COMMON = { key: ALICE_KEY, path: "/v1/chat/completions" };

async function frozen(t: Parameters<typeof oneModel>[0], limits = {}) {
  const clock = new ManualClock();
  return { clock, ...(await oneModel(t, { clock, limits })) };
}

const statusOf = async (response: Promise<Response>) => {
  const answer = await response;
  await answer.text();
  return answer.status;
};

test("a route and a key are read once for many requests", async (t) => {
  const on = await frozen(t);
  for (let i = 0; i < 10; i++) assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
  assert.equal(on.control.calls.keys, 1);
  assert.ok(on.control.calls.routes <= 2);
});

test("requests that come together share one reading", async (t) => {
  const on = await frozen(t);
  await Promise.all(Array.from({ length: 10 }, () => statusOf(chat(on, {}, COMMON))));
  assert.equal(on.control.calls.keys, 1);
});

test("a revoked key, a disabled user and a change of routes count at once when told", async (t) => {
  const on = await frozen(t);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
  on.control.addKey(ALICE_KEY, keyOf(ALICE, { disabled: true }));
  on.control.tell(`user:${ALICE}`);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 403);
  on.control.keys.delete(hashOf(ALICE_KEY).toString("hex"));
  on.control.tell(`key:${keyOf(ALICE).keyId}`);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 401);
  on.control.addKey(ALICE_KEY, keyOf(ALICE));
  on.control.tell(`key:${keyOf(ALICE).keyId}`);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
  assert.equal(await statusOf(chat(on)), 200);
  on.control.routes = [routeOf([], { ownerDisabled: true })];
  on.control.tell(`user:${ALICE}`);
  assert.equal(
    await statusOf(chat(on)),
    403,
    "the model's own key opens nothing while its owner is disabled",
  );
  on.control.routes = [routeOf([], { retryAfterMs: 1_000 })];
  on.control.tell(`model:${MODEL}`);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 503);
  on.control.routes = [];
  on.control.tell(`model:${MODEL}`);
  assert.equal(await statusOf(chat(on)), 401, "the model is gone, and its key with it");
});

test("a change that nobody told counts within ten seconds", async (t) => {
  const on = await frozen(t);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
  on.control.keys.clear();
  await on.clock.advance(10_100);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 401);
});

test("a new model is found by its owner as soon as it is told, also by a name that was asked for before", async (t) => {
  const on = await frozen(t);
  const made = { modelId: "22222222-2222-4333-8444-555555555555", servedName: "new-1", modelName: "nick" };
  for (const model of ["new-1", "nick"]) assert.equal(await statusOf(chat(on, { model }, COMMON)), 404);
  on.control.routes = [...on.control.routes, routeOf([on.replica.route], made)];
  on.control.tell(`model:${made.modelId}`);
  for (const model of ["new-1", "nick"]) assert.equal(await statusOf(chat(on, { model }, COMMON)), 200);
});

test("without the database what is known serves for five minutes, then 503 with Retry-After", async (t) => {
  const on = await frozen(t);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
  on.control.down = true;
  for (let minute = 0; minute < 4; minute++) {
    await on.clock.advance(60_000);
    assert.equal(await statusOf(chat(on, {}, COMMON)), 200, `after ${minute + 1} minutes`);
  }
  await on.clock.advance(61_000);
  const response = await chat(on, {}, COMMON);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("retry-after"), "2");
  assert.equal(
    await statusOf(chat(on, {}, { ...COMMON, key: "sk-new" })),
    503,
    "who is new can't be looked up",
  );
  on.control.down = false;
  await on.clock.advance(1_000);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
});

test("a database that is down is not pressed by every request", async (t) => {
  const on = await frozen(t);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
  on.control.down = true;
  await on.clock.advance(20_000);
  const before = on.control.calls.keys;
  for (let i = 0; i < 20; i++) assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
  assert.equal(on.control.calls.keys, before + 1);
});

test("a database that does not answer counts as down", async (t) => {
  const on = await frozen(t);
  assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
  on.control.keyByHash = () => new Promise(() => {});
  await on.clock.advance(20_000);
  const answer = statusOf(chat(on, {}, COMMON));
  for (let i = 0; i < 40; i++) {
    await on.clock.advance(100);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.equal(await answer, 200);
});

test("guessing keys reaches the database so often a second and no more, and known keys go on", async (t) => {
  const on = await frozen(t, { unknownPerSecond: 20 });
  assert.equal(await statusOf(chat(on)), 200);
  const statuses: number[] = [];
  for (let i = 0; i < 60; i++)
    statuses.push(await statusOf(chat(on, {}, { path: COMMON.path, key: `sk-guess-${i}` })));
  assert.ok(on.control.calls.keys <= 20, `${on.control.calls.keys}`);
  assert.ok(statuses.includes(401) && statuses.includes(429));
  assert.equal(await statusOf(chat(on)), 200);
  const again = on.control.calls.keys;
  for (let i = 0; i < 20; i++) await statusOf(chat(on, {}, { path: COMMON.path, key: "sk-guess-0" }));
  assert.equal(on.control.calls.keys, again, "one and the same wrong key is known as such");
});

test("unknown keys never take the room of known ones", async (t) => {
  const on = await frozen(t, { unknownPerSecond: 1_000, cacheEntriesMax: 20 });
  assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
  for (let i = 0; i < 60; i++) await statusOf(chat(on, {}, { path: COMMON.path, key: `sk-guess-${i}` }));
  on.control.down = true;
  assert.equal(await statusOf(chat(on, {}, COMMON)), 200);
  assert.equal(await statusOf(chat(on, { model: SERVED_NAME }, { ...COMMON, key: MODEL_KEY })), 200);
});
