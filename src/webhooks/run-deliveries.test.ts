import assert from "node:assert/strict";
import { test } from "node:test";
import { webhookFixture } from "../../test/support/webhooks.ts";
import { runDeliveries } from "./run-deliveries.ts";

test("a worker delivers what comes until it is stopped, and lets the attempts under way come to their end", async (t) => {
  const f = await webhookFixture(t);
  await f.endpoint();
  const stop = new AbortController();
  const running = runDeliveries(f.ctx, f.deps, stop.signal);
  await Promise.all(Array.from({ length: 60 }, () => f.announce()));
  await f.receiver.until(60);
  let answer = () => {};
  f.receiver.answer((response) => {
    answer = () => void response.writeHead(204).end();
  });
  await f.announce();
  await f.receiver.until(61);
  stop.abort();
  answer();
  await running;
  const made = await f.deliveries();
  assert.equal(made.length, 61);
  assert.ok(made.every((one) => one.status === "DELIVERED" && one.attemptCount === 1));
});

test("a database that is away for a moment stops no worker", async (t) => {
  const f = await webhookFixture(t);
  await f.endpoint();
  await f.announce();
  const stop = new AbortController();
  let failures = 2;
  const steps = {
    reach: () => {
      if (failures-- > 0) throw new Error("the connection broke");
    },
  };
  const running = runDeliveries(f.ctx, { ...f.deps, steps }, stop.signal);
  f.advance(1_000);
  while (failures > 0) {
    f.advance(61_000); // what was claimed lapses
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  f.advance(61_000);
  await f.receiver.until(1);
  stop.abort();
  await running;
  assert.equal((await f.deliveries())[0]?.status, "DELIVERED");
});
