import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLog } from "../base/log.ts";
import { createLifetime } from "./lifetime.ts";

test("an idle process that is asked to drain ends at once", async () => {
  const lifetime = createLifetime(0, silentLog);
  lifetime.drain("test");
  await lifetime.ended;
  assert.equal(lifetime.draining, true);
});

test("a process that drains ends with its last request, however often that one leaves", async () => {
  const lifetime = createLifetime(0, silentLog);
  const [leaveFirst, leaveSecond] = [lifetime.enter(), lifetime.enter()];
  let ended = false;
  void lifetime.ended.then(() => {
    ended = true;
  });
  lifetime.drain("test");
  leaveFirst();
  leaveFirst();
  await Promise.resolve();
  assert.equal(ended, false);
  leaveSecond();
  await lifetime.ended;
});

test("claims put off the end of a process that nobody claims", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const lifetime = createLifetime(1_000, silentLog);
  lifetime.claim();
  t.mock.timers.tick(900);
  lifetime.claim();
  t.mock.timers.tick(900);
  assert.equal(lifetime.draining, false);
  t.mock.timers.tick(100);
  assert.equal(lifetime.draining, true);
});

test("0 means never", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const lifetime = createLifetime(0, silentLog);
  lifetime.claim();
  t.mock.timers.tick(1_000_000_000);
  assert.equal(lifetime.draining, false);
});
