/** The commands about webhooks against the real domain, a real receiver and a worker that delivers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { receiver } from "../../test/support/receiver.ts";
import { people, restEdge } from "../../test/support/rest-edge.ts";
import { systemClock } from "../base/clock.ts";
import { createGuardedClient } from "../base/guarded-client.ts";
import { secretBox } from "../base/seal.ts";
import { noSteps } from "../base/steps.ts";
import * as edge from "../rpc/index.ts";
import { runDeliveries, SEND_MS, type WebhooksDeps, webhookRoutes } from "../webhooks/index.ts";
import { cli } from "./testing/harness.ts";

async function setup(t: Cleanup) {
  const { ctx, person } = await people(t, new Date());
  const at = await receiver(t);
  const client = createGuardedClient({ allowed: [at.host], userAgent: "slipway/test" });
  const box = secretBox("a secret that tests share, long enough to be one");
  const webhooks: WebhooksDeps = { box, client, steps: noSteps, sendMs: SEND_MS };
  const { server } = restEdge(t, ctx, [webhookRoutes({ db: ctx.db, edge, webhooks })]);
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const stop = new AbortController();
  const running = runDeliveries(ctx, webhooks, stop.signal);
  t.after(async () => {
    server.app.server.closeAllConnections();
    stop.abort();
    await running;
    await client.close();
  });
  const slipway = await cli(t, { SLIPWAY_API_URL: `http://127.0.0.1:${port}` });
  const ada = await person("Ada");
  const run = (...args: string[]) =>
    slipway.run(["webhooks", ...args], { env: { SLIPWAY_TOKEN: ada.token }, clock: systemClock });
  return { run, receiver: at };
}

const idOf = (stdout: string): string => /^id +(\S+)$/m.exec(stdout)?.[1] ?? "";

test("an endpoint is added, pinged, looked at, disabled, enabled and deleted", async (t) => {
  const { run, receiver: at } = await setup(t);
  assert.match((await run("list")).stdout, /webhooks create/);
  const made = await run("create", at.url, "--event", "balance.low", "payment.failed");
  assert.match(made.stdout, /^secret +whsec_\S+ +\(shown this once\)$/m);
  const id = idOf(made.stdout);
  const pinged = await run("ping", id);
  assert.equal(pinged.status, 0, pinged.stderr);
  assert.match(pinged.stdout, /status +DELIVERED[\s\S]*message +\{"type":"webhook\.ping"/);
  const listed = await run("list");
  assert.match(listed.stdout, /balance\.low,payment\.failed +ENABLED/);
  assert.ok(!listed.stdout.includes("whsec_"));
  assert.match((await run("disable", id)).stdout, /status +DISABLED\nwhy +It was disabled by a request\./);
  assert.match((await run("enable", id)).stdout, /status +ENABLED/);
  assert.match(
    (await run("rotate", id, "--overlap", "3600")).stdout,
    /secret +whsec_[\s\S]*former secret +until /,
  );
  assert.match((await run("update", id, "--description", "prod")).stdout, /description +prod/);
  assert.equal((await run("delete", id)).status, 0);
  assert.equal((await run("get", id)).status, 5);
});

test("a ping that fails ends with status 1 and says why; its delivery can be looked at and replayed", async (t) => {
  const { run, receiver: at } = await setup(t);
  const id = idOf((await run("create", at.url)).stdout);
  at.answer((response) => void response.writeHead(403).end("\u001b[2Jno entry"));
  const pinged = await run("ping", id);
  assert.equal(pinged.status, 1);
  assert.match(pinged.stdout, /1 +\S+ \S+ +\d+ ms +403 +The receiver answered 403\. "\[2Jno entry"/);
  assert.ok(!pinged.stdout.includes("\u001b"));
  const deliveryId = /^delivery +(\S+)$/m.exec(pinged.stdout)?.[1] ?? "";
  at.answer((response) => void response.writeHead(204).end());
  const replayed = await run("replay", deliveryId);
  assert.match(replayed.stdout, new RegExp(`status +PENDING[\\s\\S]*repeats +${deliveryId}`));
  await at.until(2);
  assert.match((await run("deliveries", "--endpoint", id)).stdout, /webhook\.ping +1 +\w+ +1 /);
  assert.match((await run("deliveries", "get", deliveryId)).stdout, /status +FAILED/);
  assert.match((await run("deliveries", "--status", "failed")).stdout, new RegExp(deliveryId));
});

test("failures say what to do next", async (t) => {
  const { run, receiver: at } = await setup(t);
  const refused = await run("create", "http://10.0.0.1/hook");
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /URL_REFUSED/);
  assert.match(
    (await run("create", at.url, "--event", "nothing")).stderr,
    /none of \*, model\.status_changed/,
  );
  const missing = await run("get", "11111111-1111-4111-8111-111111111111");
  assert.match(missing.stderr, /WEBHOOK_NOT_FOUND[\s\S]*slipway webhooks list/);
  assert.equal((await run("deliveries", "--status", "lost")).status, 2);
});
