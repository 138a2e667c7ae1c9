import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry } from "prom-client";
import { webhookFixture } from "../../test/support/webhooks.ts";
import { addWebhookMetrics } from "./webhook-metrics.ts";

const MINUTE_MS = 60_000;

test("attempts are counted by what came of them; what waits, and for how long, is the installation's", async (t) => {
  const f = await webhookFixture(t);
  const registry = new Registry();
  const deps = { ...f.deps, onAttempt: addWebhookMetrics(registry, f.ctx) };
  const metric = async (line: string) => {
    const text = await registry.metrics();
    return Number(
      text
        .split("\n")
        .find((one) => one.startsWith(`slipway_webhook_${line} `))
        ?.split(" ")[1],
    );
  };
  await f.endpoint();
  await f.announce();
  await f.announce();
  f.advance(MINUTE_MS);
  assert.equal(await metric("waiting"), 2);
  assert.ok((await metric("lag_seconds")) >= 60);
  f.receiver.answer((response) => void response.writeHead(500).end());
  await f.pass(deps);
  assert.equal(await metric('attempts_total{outcome="failed"}'), 2);
  assert.equal(await metric("lag_seconds"), 0);
  f.receiver.answer((response) => void response.writeHead(204).end());
  f.advance(MINUTE_MS);
  await f.pass(deps);
  assert.equal(await metric('attempts_total{outcome="delivered"}'), 2);
  assert.equal(await metric('attempts_total{outcome="given_up"}'), 0);
  assert.equal(await metric("waiting"), 0);
});
