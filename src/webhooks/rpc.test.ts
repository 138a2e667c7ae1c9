import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { receiver } from "../../test/support/receiver.ts";
import { people, restEdge } from "../../test/support/rest-edge.ts";
import { createGuardedClient } from "../base/guarded-client.ts";
import { secretBox } from "../base/seal.ts";
import { noSteps } from "../base/steps.ts";
import * as edge from "../rpc/index.ts";
import { deliverDue, SEND_MS, type WebhooksDeps, webhookRoutes } from "./index.ts";

const ENDPOINTS = "/v1/webhooks/endpoints";
const DELIVERIES = "/v1/webhooks/deliveries";

async function setup(t: Cleanup) {
  const { ctx, person, advance } = await people(t, new Date());
  const at = await receiver(t);
  const client = createGuardedClient({ allowed: [at.host], userAgent: "slipway/test" });
  t.after(() => client.close());
  const box = secretBox("a secret that tests share, long enough to be one");
  const webhooks: WebhooksDeps = { box, client, steps: noSteps, sendMs: SEND_MS };
  const { call } = restEdge(t, ctx, [webhookRoutes({ db: ctx.db, edge, webhooks })]);
  const [ada, eve, root] = [await person("Ada"), await person("Eve"), await person("Root", "ADMIN")];
  const made = await call(ada, "POST", ENDPOINTS, { url: at.url, eventTypes: ["balance.low"] });
  assert.equal(made.status, 200);
  const id = String(made.body.endpoint?.endpointId);
  const pass = () => deliverDue(ctx, webhooks, { limit: 10 });
  return { ctx, call, advance, receiver: at, ada, eve, root, made, id, pass };
}

test("an endpoint over REST: made with its secret, then told without, changed, rotated and deleted", async (t) => {
  const { call, ada, made, id, receiver: at } = await setup(t);
  const secret = String(made.body.endpoint?.secret);
  assert.match(secret, /^whsec_/);
  const { body } = await call(ada, "GET", `${ENDPOINTS}/${id}`);
  const { createdAt, updatedAt, ...rest } = body.endpoint ?? {};
  assert.ok(createdAt && updatedAt);
  assert.deepEqual(rest, {
    endpointId: id,
    userId: ada.id,
    url: at.url,
    description: "",
    eventTypes: ["balance.low"],
    status: "WEBHOOK_ENDPOINT_STATUS_ENABLED",
    disabledReason: "WEBHOOK_DISABLED_REASON_UNSPECIFIED",
    disabledMessage: "",
    disabledAt: null,
    failingSince: null,
    lastDeliveredAt: null,
    secret: "",
    formerSecretEndsAt: null,
  });
  const list = await call(ada, "GET", ENDPOINTS);
  assert.deepEqual(list.body, { endpoints: [body.endpoint] });
  const off = await call(ada, "PATCH", `${ENDPOINTS}/${id}`, { enabled: false });
  assert.equal(String(off.body.endpoint?.disabledReason), "WEBHOOK_DISABLED_REASON_ASKED");
  const rotated = await call(ada, "POST", `${ENDPOINTS}/${id}:rotateSecret`, {});
  assert.match(String(rotated.body.endpoint?.secret), /^whsec_/);
  assert.notEqual(String(rotated.body.endpoint?.secret), secret);
  assert.ok(rotated.body.endpoint?.formerSecretEndsAt);
  assert.deepEqual((await call(ada, "DELETE", `${ENDPOINTS}/${id}`)).body, { empty: {} });
  assert.equal((await call(ada, "GET", `${ENDPOINTS}/${id}`)).reason, "WEBHOOK_NOT_FOUND");
});

test("a repeat under one Idempotency-Key makes one endpoint, and shows the same secret", async (t) => {
  const { call, ada, receiver: at } = await setup(t);
  const make = () => call(ada, "POST", ENDPOINTS, { url: at.url }, { "idempotency-key": "one" });
  const [first, second] = [await make(), await make()];
  assert.deepEqual(first.body, second.body);
  assert.equal(Object.keys((await call(ada, "GET", ENDPOINTS)).body.endpoints ?? {}).length, 2);
});

test("a ping over REST is delivered, seen in pages and by status, and replayed", async (t) => {
  const { call, ada, id, pass, advance, receiver: at } = await setup(t);
  at.answer((response) => void response.writeHead(500).end("not yet"));
  const ping = await call(ada, "POST", `${ENDPOINTS}/${id}:ping`, {});
  const pinged = ping.body.delivery;
  assert.equal(String(pinged?.status), "WEBHOOK_DELIVERY_STATUS_PENDING");
  await pass();
  const got = await call(ada, "GET", `${DELIVERIES}/${pinged?.deliveryId}`);
  const { startedAt, durationMs, ...attempt } = got.body.delivery?.attempts?.[0] ?? {};
  assert.ok(startedAt && durationMs);
  assert.deepEqual(attempt, {
    number: 1,
    responseStatus: 500,
    failure: "The receiver answered 500.",
    responseExcerpt: "not yet",
  });
  at.answer((response) => void response.writeHead(204).end());
  advance(1_000);
  const replay = await call(ada, "POST", `${DELIVERIES}/${pinged?.deliveryId}:replay`, {});
  assert.equal(String(replay.body.delivery?.replayOf), String(pinged?.deliveryId));
  await pass();
  const page = await call(ada, "GET", `${DELIVERIES}?endpointId=${id}&pageSize=1`);
  assert.equal(String(page.body.deliveries?.[0]?.status), "WEBHOOK_DELIVERY_STATUS_DELIVERED");
  const next = `pageSize=1&pageToken=${encodeURIComponent(String(page.body.nextPageToken))}`;
  const rest = await call(ada, "GET", `${DELIVERIES}?endpointId=${id}&${next}`);
  assert.deepEqual(
    [String(rest.body.deliveries?.[0]?.deliveryId), String(rest.body.nextPageToken)],
    [String(pinged?.deliveryId), ""],
  );
  const failed = await call(ada, "GET", `${DELIVERIES}?status=WEBHOOK_DELIVERY_STATUS_FAILED`);
  assert.equal(Object.keys(failed.body.deliveries ?? {}).length, 1);
  assert.equal((await call(ada, "GET", `${DELIVERIES}?${next}`)).reason, "INVALID_FIELD");
});

test("to an outsider nothing is there, and administrators name the user", async (t) => {
  const { call, ada, eve, root, id } = await setup(t);
  const ping = await call(ada, "POST", `${ENDPOINTS}/${id}:ping`, {});
  const delivery = `${DELIVERIES}/${ping.body.delivery?.deliveryId}`;
  const calls = [
    ["GET", `${ENDPOINTS}/${id}`],
    ["PATCH", `${ENDPOINTS}/${id}`],
    ["POST", `${ENDPOINTS}/${id}:ping`],
    ["POST", `${ENDPOINTS}/${id}:rotateSecret`],
    ["GET", delivery],
    ["POST", `${delivery}:replay`],
    ["DELETE", `${ENDPOINTS}/${id}`],
  ] as const;
  for (const [method, url] of calls) {
    const payload = method === "GET" || method === "DELETE" ? undefined : {};
    assert.equal((await call(eve, method, url, payload)).status, 404, `${method} ${url}`);
  }
  for (const url of [ENDPOINTS, DELIVERIES]) {
    assert.equal((await call(eve, "GET", `${url}?userId=${ada.id}`)).status, 403);
    assert.equal((await call(root, "GET", `${url}?userId=${ada.id}`)).status, 200);
    assert.equal((await call(root, "GET", `${url}?userId=${id}`)).reason, "USER_NOT_FOUND");
  }
  const hidden = await call(eve, "GET", `${DELIVERIES}?endpointId=${id}`);
  assert.deepEqual(hidden.body, { deliveries: [], nextPageToken: "" });
  for (const [method, url] of calls) {
    const payload = method === "GET" || method === "DELETE" ? undefined : {};
    assert.equal((await call(root, method, url, payload)).status, 200, `${method} ${url}`);
  }
});
