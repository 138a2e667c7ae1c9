import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { type WebhookFixture, webhookFixture } from "../../test/support/webhooks.ts";
import {
  deleteEndpoint,
  getDelivery,
  getEndpoint,
  listEndpoints,
  pingEndpoint,
  replayDelivery,
  rotateSecret,
  updateEndpoint,
} from "./index.ts";
import { ENDPOINTS_MAX } from "./model.ts";

const NOTHING = { url: undefined, description: undefined, eventTypes: [], enabled: undefined };

test("an endpoint is told with all but its secret, which only the answer that makes it holds", async (t) => {
  const f = await webhookFixture(t);
  const made = await f.endpoint({ description: "prod", eventTypes: ["payment.failed", "balance.low"] });
  assert.deepEqual(await listEndpoints(f.ctx, { userId: f.owner.userId }), [made.endpoint]);
  assert.deepEqual(made.endpoint.eventTypes, ["balance.low", "payment.failed"]);
  assert.deepEqual((await f.endpoint({ eventTypes: ["*", "balance.low"] })).endpoint.eventTypes, ["*"]);
  assert.deepEqual((await f.endpoint({ eventTypes: [] })).endpoint.eventTypes, ["*"]);
  assert.ok(!JSON.stringify(made.endpoint).includes(made.secret));
});

test("no table holds a secret in clear, also after a rotation", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint, secret } = await f.endpoint();
  const input = { principal: f.owner, endpointId: endpoint.id, overlapMs: 60_000 };
  const { secret: second } = await rotateSecret(f.ctx, f.deps, input);
  await f.announce();
  await f.pass();
  const { rows } = await sql<{ text: string }>`
    select concat(to_jsonb(e), to_jsonb(d), to_jsonb(v)) as text
    from webhook_endpoint e join webhook_delivery d on d.endpoint_id = e.id join webhook_event v on v.id = d.event_id`.execute(
    f.ctx.db,
  );
  assert.equal(rows.length, 1);
  for (const planted of [secret, second]) {
    const bytes = Buffer.from(planted.slice("whsec_".length), "base64");
    for (const form of [
      planted,
      planted.slice(6),
      bytes.toString("hex"),
      Buffer.from(planted).toString("hex"),
    ])
      assert.ok(!rows[0]?.text.includes(form));
  }
});

test("URLs that no message may go to are refused, naming the field", async (t) => {
  const f = await webhookFixture(t);
  const refused = [
    "http://example.com/hook",
    "https://user:secret@example.com/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/",
    "https://2130706433/",
    "https://example.com/#part",
    "ftp://example.com/",
    "javascript:alert(1)",
    "example.com/hook",
  ];
  for (const url of refused) {
    await assert.rejects(
      f.endpoint({ url }),
      (error: { code: string; violations: { field: string }[] }) =>
        error.code === "INVALID_ARGUMENT" && error.violations[0]?.field === "url",
      url,
    );
  }
  await assert.rejects(f.endpoint({ eventTypes: ["model.exploded"] }), { reason: "INVALID_FIELD" });
  assert.deepEqual(await listEndpoints(f.ctx, { userId: f.owner.userId }), []);
  await f.endpoint({ url: "https://hooks.example.com/a?b=c" });
});

test("a user has ten endpoints at most, also when they are made at once", async (t) => {
  const f = await webhookFixture(t);
  const made = await Promise.allSettled(Array.from({ length: ENDPOINTS_MAX + 3 }, () => f.endpoint()));
  const refused = made.filter((one) => one.status === "rejected");
  assert.deepEqual(
    refused.map((one) => one.reason.reason),
    Array(3).fill("TOO_MANY_WEBHOOKS"),
  );
});

test("what is given changes and the rest stays; disabling cancels what waits", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint } = await f.endpoint({ description: "first" });
  const input = { principal: f.owner, endpointId: endpoint.id, ...NOTHING };
  f.advance(1_000);
  const described = await updateEndpoint(f.ctx, f.deps, { ...input, description: "second" });
  assert.deepEqual(described, {
    ...endpoint,
    description: "second",
    updatedAt: f.now() && described.updatedAt,
  });
  assert.ok(described.updatedAt > endpoint.updatedAt);
  const narrowed = await updateEndpoint(f.ctx, f.deps, { ...input, eventTypes: ["balance.low"] });
  assert.deepEqual(narrowed.eventTypes, ["balance.low"]);
  await f.announce({ type: "balance.low" });
  const off = await updateEndpoint(f.ctx, f.deps, { ...input, enabled: false });
  assert.equal(off.disabled?.reason, "ASKED");
  assert.equal((await f.deliveries())[0]?.status, "CANCELLED");
  assert.equal(await f.pass(), 0);
  assert.deepEqual(await f.seen(endpoint.id), off);
  await assert.rejects(updateEndpoint(f.ctx, f.deps, { ...input, url: "http://example.com" }), {
    reason: "URL_REFUSED",
  });
});

test("another's endpoints and deliveries are not there, but to administrators", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint } = await f.endpoint();
  await f.announce();
  const [delivery] = await f.deliveries();
  assert.ok(delivery);
  const calls = (principal: WebhookFixture["owner"]) => {
    const one = { principal, endpointId: endpoint.id };
    return [
      () => getEndpoint(f.ctx, one),
      () => updateEndpoint(f.ctx, f.deps, { ...one, ...NOTHING }),
      () => rotateSecret(f.ctx, f.deps, { ...one, overlapMs: 0 }),
      () => pingEndpoint(f.ctx, one),
      () => getDelivery(f.ctx, { principal, deliveryId: delivery.id }),
      () => replayDelivery(f.ctx, { principal, deliveryId: delivery.id }),
      () => deleteEndpoint(f.ctx, one),
    ];
  };
  for (const call of calls(f.other)) await assert.rejects(call(), { code: "NOT_FOUND" });
  for (const call of calls(f.admin)) await call();
  await assert.rejects(getEndpoint(f.ctx, { principal: f.owner, endpointId: endpoint.id }), {
    reason: "WEBHOOK_NOT_FOUND",
  });
});
