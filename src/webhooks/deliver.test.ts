import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { test } from "node:test";
import { sql } from "kysely";
import { webhookFixture } from "../../test/support/webhooks.ts";
import { createGuardedClient } from "../base/guarded-client.ts";
import type { Step } from "../base/steps.ts";
import { withTransaction } from "../db/db.ts";
import { LEASE_MS } from "./deliver-due.ts";
import { announce, deleteEndpoint, pingEndpoint, replayDelivery, updateEndpoint } from "./index.ts";
import { ATTEMPTS_MAX, KEPT_MS, PENDING_MAX } from "./model.ts";
import { purgeWebhooks } from "./purge.ts";

const HOUR_MS = 3_600_000;
/** Above every wait between attempts, with its jitter. */
const LONGEST_WAIT_MS = 8 * HOUR_MS;

/** Steps that end the work at a name, as a crash does: nothing after it happens. */
const crashAt = (name: Step) => ({
  reach: (step: Step) => {
    if (step === name) throw new Error("crash");
  },
});

test("an event arrives with its type, time, number and facts, and nothing else", async (t) => {
  const f = await webhookFixture(t);
  await f.endpoint();
  await f.announce();
  assert.equal(await f.pass(), 1);
  const [got] = f.receiver.received;
  assert.ok(got);
  const [delivery] = await f.deliveries();
  assert.deepEqual(JSON.parse(got.body), {
    type: "model.status_changed",
    timestamp: delivery?.createdAt.toISOString(),
    sequence: 1,
    data: {
      userId: f.owner.userId,
      modelId: "11111111-1111-4111-8111-111111111111",
      status: "MODEL_STATUS_RUNNING",
    },
  });
  assert.deepEqual(
    [got.path, got.headers["content-type"], got.headers["user-agent"], got.headers["webhook-id"]],
    ["/hooks", "application/json", "slipway/test", delivery?.eventId],
  );
  assert.deepEqual([delivery?.status, delivery?.attemptCount, delivery?.payload], ["DELIVERED", 1, got.body]);
  const [attempt] = delivery?.attempts ?? [];
  assert.deepEqual([attempt?.number, attempt?.responseStatus, attempt?.failure], [1, 204, ""]);
  assert.equal(await f.pass(), 0);
});

test("an event is written with the change that it tells of, or not at all", async (t) => {
  const f = await webhookFixture(t);
  await f.endpoint();
  const event = { userId: f.owner.userId, type: "balance.low", data: {} } as const;
  const rolledBack = withTransaction(f.ctx, async (tx) => {
    await announce(tx, event);
    throw new Error("the change fails");
  });
  await assert.rejects(rolledBack, /the change fails/);
  assert.deepEqual(await f.deliveries(), []);
  await withTransaction(f.ctx, (tx) => announce(tx, event));
  assert.deepEqual(
    (await f.deliveries()).map(({ sequence }) => sequence),
    [1n],
  );
});

test("a user's events are numbered without gaps in the order of their commits, whoever writes at once", async (t) => {
  const f = await webhookFixture(t);
  await f.endpoint();
  await Promise.all(Array.from({ length: 24 }, () => f.announce()));
  const numbers = (await f.deliveries()).map(({ sequence }) => Number(sequence)).sort((a, b) => a - b);
  assert.deepEqual(
    numbers,
    Array.from({ length: 24 }, (_, at) => at + 1),
  );
});

test("only endpoints that want a type get it, each under the same event id; others' endpoints get nothing", async (t) => {
  const f = await webhookFixture(t);
  const all = await f.endpoint();
  const models = await f.endpoint({ eventTypes: ["model.status_changed"] });
  await f.endpoint({ eventTypes: ["payment.failed"] });
  await f.endpoint({ userId: f.other.userId });
  const off = await f.endpoint();
  const change = { url: undefined, description: undefined, eventTypes: [] };
  const endpointId = off.endpoint.id;
  await updateEndpoint(f.ctx, f.deps, { principal: f.owner, endpointId, ...change, enabled: false });
  await f.announce();
  const made = await f.deliveries();
  assert.deepEqual(made.map((one) => one.endpointId).sort(), [all.endpoint.id, models.endpoint.id].sort());
  assert.equal(new Set(made.map((one) => one.eventId)).size, 1);
  assert.equal(await f.pass(), 2);
});

test("a receiver that fails before or after it worked is sent the same bytes under the same id until it answers 2xx", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint } = await f.endpoint();
  const effects = new Set<unknown>();
  let count = 0;
  f.receiver.answer((response, got) => {
    count++;
    // First it fails before its effect, then after it (the answer is lost), then it works.
    if (count === 1) return void response.writeHead(500).end("no disk");
    effects.add(got.headers["webhook-id"]);
    if (count === 2) return void response.destroy();
    return void response.writeHead(200).end("ok");
  });
  await f.announce();
  for (let at = 0; at < 3; at++) {
    assert.equal(await f.pass(), 1);
    f.advance(LONGEST_WAIT_MS);
  }
  assert.equal(effects.size, 1);
  assert.equal(new Set(f.receiver.received.map((got) => got.body)).size, 1);
  assert.equal(new Set(f.receiver.received.map((got) => got.headers["webhook-timestamp"])).size, 3);
  const [delivery] = await f.deliveries();
  assert.deepEqual(
    delivery?.attempts.map(({ number, responseStatus, responseExcerpt }) => [
      number,
      responseStatus,
      responseExcerpt,
    ]),
    [
      [1, 500, "no disk"],
      [2, 0, ""],
      [3, 200, ""],
    ],
  );
  assert.equal(delivery?.status, "DELIVERED");
  assert.equal((await f.seen(endpoint.id)).failingSince, null);
});

test("what waits for its next attempt is not due before its time", async (t) => {
  const f = await webhookFixture(t);
  f.receiver.answer((response) => void response.writeHead(503, { "retry-after": "3600" }).end());
  await f.endpoint();
  await f.announce();
  await f.pass();
  const [delivery] = await f.deliveries();
  const waitMs = (delivery?.nextAttemptAt?.getTime() ?? 0) - f.now().getTime();
  assert.ok(waitMs > HOUR_MS - 60_000 && waitMs <= HOUR_MS, `${waitMs}`);
  f.advance(HOUR_MS - 120_000);
  assert.equal(await f.pass(), 0);
  f.advance(120_000);
  assert.equal(await f.pass(), 1);
});

test("a receiver that does not answer costs its bound and no more", async (t) => {
  const f = await webhookFixture(t, 200);
  f.receiver.answer(() => {});
  await f.endpoint();
  await f.announce();
  await f.pass();
  const [delivery] = await f.deliveries();
  assert.equal(delivery?.status, "PENDING");
  assert.equal(delivery?.attempts[0]?.failure, "The receiver did not answer within 0.2 s.");
});

test("an endless answer is left: its status counts, and of a refusing one 200 characters of one line are kept", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint } = await f.endpoint();
  let status = 200;
  f.receiver.answer((response) => {
    response.writeHead(status);
    const more = () => {
      while (!response.destroyed && response.write(`no\u0007\n\u001b[31m${"x".repeat(60_000)}`));
      if (!response.destroyed) response.once("drain", more);
    };
    more();
  });
  await f.announce();
  await f.pass();
  status = 400;
  await f.announce();
  await f.pass();
  const [first, second] = await f.deliveries();
  assert.deepEqual([first?.status, first?.attempts[0]?.responseExcerpt], ["DELIVERED", ""]);
  assert.equal(second?.attempts[0]?.responseStatus, 400);
  const excerpt = second?.attempts[0]?.responseExcerpt ?? "";
  assert.match(excerpt, /^no \[31mx+$/);
  assert.equal(excerpt.length, 200);
  assert.ok(endpoint.id);
});

test("a redirect is a failure: it is not followed", async (t) => {
  const f = await webhookFixture(t);
  const target = `${f.receiver.url}/elsewhere`;
  f.receiver.answer((response) => void response.writeHead(302, { location: target }).end());
  await f.endpoint();
  await f.announce();
  await f.pass();
  assert.equal(f.receiver.received.length, 1);
  const [delivery] = await f.deliveries();
  assert.equal(delivery?.attempts[0]?.failure, "The receiver answered 302; redirects are not followed.");
});

test("a receiver that refuses the connection is a failure with a sentence, and no address is told", async (t) => {
  const f = await webhookFixture(t);
  const free = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => free.once("listening", resolve));
  const { port } = free.address() as AddressInfo;
  await new Promise((resolve) => free.close(resolve));
  const client = createGuardedClient({ allowed: ["localhost"], userAgent: "slipway/test" });
  t.after(() => client.close());
  const url = `http://localhost:${port}/?key=of-the-owner`;
  await f.endpoint().then(({ endpoint }) =>
    updateEndpoint(
      f.ctx,
      { ...f.deps, client },
      {
        ...{ principal: f.owner, endpointId: endpoint.id, url },
        ...{ description: undefined, eventTypes: [], enabled: undefined },
      },
    ),
  );
  await f.announce();
  await f.pass({ ...f.deps, client });
  const failure = (await f.deliveries())[0]?.attempts[0]?.failure;
  assert.equal(failure, `localhost:${port} could not be reached, or the connection broke.`);
});

test("a name that leads to a private address is refused when it is sent to, whatever it led to before", async (t) => {
  const f = await webhookFixture(t);
  const client = createGuardedClient({
    allowed: [],
    userAgent: "slipway/test",
    resolve: async () => [{ address: "10.1.2.3", family: 4 }],
  });
  t.after(() => client.close());
  const deps = { ...f.deps, client };
  const { endpoint } = await f.endpoint();
  await updateEndpoint(f.ctx, deps, {
    ...{ principal: f.owner, endpointId: endpoint.id, url: "https://hooks.example.com/" },
    ...{ description: undefined, eventTypes: [], enabled: undefined },
  });
  await f.announce();
  await f.pass(deps);
  const failure = (await f.deliveries())[0]?.attempts[0]?.failure ?? "";
  assert.match(failure, /^hooks\.example\.com is, or leads to, an address that is not public/);
  assert.equal(f.receiver.received.length, 0);
});

test("410 disables the endpoint at once, says so to its owner, and cancels what waits", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint } = await f.endpoint();
  await f.announce();
  f.receiver.answer((response) => void response.writeHead(500).end());
  await f.pass();
  f.receiver.answer((response) => void response.writeHead(410).end());
  await f.announce();
  await f.pass();
  const seen = await f.seen(endpoint.id);
  assert.equal(seen.disabled?.reason, "GONE");
  assert.match(seen.disabled?.message ?? "", /410/);
  assert.deepEqual(
    (await f.deliveries()).map((one) => one.status),
    ["CANCELLED", "FAILED"],
  );
  await f.announce();
  assert.equal((await f.deliveries()).length, 2);
});

test("an endpoint where nothing arrives until a delivery is given up is disabled with the reason, and enabled again forgets it", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint } = await f.endpoint();
  f.receiver.answer((response) => void response.writeHead(500).end("still broken"));
  await f.announce();
  const began = f.now();
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    assert.equal((await f.seen(endpoint.id)).disabled, null);
    assert.equal(await f.pass(), 1);
    f.advance(LONGEST_WAIT_MS);
  }
  assert.equal(await f.pass(), 0);
  const [delivery] = await f.deliveries();
  assert.deepEqual([delivery?.status, delivery?.attemptCount], ["FAILED", ATTEMPTS_MAX]);
  const { disabled, failingSince } = await f.seen(endpoint.id);
  assert.equal(disabled?.reason, "FAILING");
  assert.match(disabled?.message ?? "", /^Nothing has arrived here since .*The receiver answered 500\./);
  assert.ok(failingSince && failingSince >= began);
  const input = { principal: f.owner, endpointId: endpoint.id };
  const change = { url: undefined, description: undefined, eventTypes: [], enabled: true };
  const enabled = await updateEndpoint(f.ctx, f.deps, { ...input, ...change });
  assert.deepEqual([enabled.disabled, enabled.failingSince], [null, null]);
});

test("a delivery that is given up while others arrive disables nothing", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint } = await f.endpoint();
  const bad = { modelId: "bad" };
  f.receiver.answer((response, got) => void response.writeHead(got.body.includes("bad") ? 500 : 204).end());
  await f.announce({ data: bad });
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    await f.pass();
    if (attempt === 5) {
      await f.announce();
      await f.pass();
    }
    f.advance(LONGEST_WAIT_MS);
  }
  assert.deepEqual(
    (await f.deliveries()).map((one) => one.status),
    ["FAILED", "DELIVERED"],
  );
  assert.equal((await f.seen(endpoint.id)).disabled, null);
});

test("a worker that dies between sending and writing it down: the message is sent again under the same id", async (t) => {
  const f = await webhookFixture(t);
  await f.endpoint();
  await f.announce();
  await assert.rejects(f.pass({ ...f.deps, steps: crashAt("webhooks.sent") }), /crash/);
  assert.equal(await f.pass(), 0); // still claimed
  f.advance(LEASE_MS);
  assert.equal(await f.pass(), 1);
  const ids = f.receiver.received.map((got) => got.headers["webhook-id"]);
  assert.deepEqual([ids.length, new Set(ids).size], [2, 1]);
  const [delivery] = await f.deliveries();
  assert.deepEqual([delivery?.status, delivery?.attemptCount], ["DELIVERED", 2]);
  assert.deepEqual(
    delivery?.attempts.map(({ number }) => number),
    [2],
  );
});

test("attempts are bounded also when every one of them kills its worker", async (t) => {
  const f = await webhookFixture(t);
  await f.endpoint();
  await f.announce();
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    await assert.rejects(f.pass({ ...f.deps, steps: crashAt("webhooks.sent") }), /crash/);
    f.advance(LEASE_MS);
  }
  assert.equal(await f.pass(), 1);
  assert.equal(f.receiver.received.length, ATTEMPTS_MAX);
  assert.equal((await f.deliveries())[0]?.status, "FAILED");
});

test("a worker that lost its claim writes nothing over what came after it", async (t) => {
  const f = await webhookFixture(t);
  await f.endpoint();
  await f.announce();
  let release = () => {};
  const answered = new Promise<void>((resolve) => {
    release = resolve;
  });
  f.receiver.answer(async (response) => {
    if (f.receiver.received.length > 1) return void response.writeHead(204).end();
    await answered;
    response.writeHead(500).end();
  });
  const slow = f.pass();
  await f.receiver.until(1);
  f.advance(LEASE_MS);
  assert.equal(await f.pass(), 1);
  release();
  await slow;
  const [delivery] = await f.deliveries();
  assert.deepEqual([delivery?.status, delivery?.attempts.length], ["DELIVERED", 1]);
});

test("several workers at once send each delivery once, and few at a time to one endpoint", async (t) => {
  const f = await webhookFixture(t);
  const busy = await f.endpoint();
  await Promise.all(Array.from({ length: 12 }, () => f.announce()));
  const quiet = await f.endpoint({ eventTypes: ["payment.failed"] });
  await f.announce({ type: "payment.failed" });
  let underWay = 0;
  let most = 0;
  f.receiver.answer((response) => {
    most = Math.max(most, ++underWay);
    setTimeout(() => {
      underWay--;
      response.writeHead(204).end();
    }, 20);
  });
  const passes = await Promise.all([f.pass(), f.pass(), f.pass()]);
  assert.ok(most <= 8, `${most} to two endpoints`);
  const first = await f.deliveries();
  assert.ok(first.some((one) => one.endpointId === quiet.endpoint.id && one.status === "DELIVERED"));
  while ((await f.pass()) > 0);
  assert.equal(f.receiver.received.length, 14);
  assert.ok(passes.some((count) => count > 0));
  assert.ok((await f.deliveries()).every((one) => one.status === "DELIVERED"));
  assert.ok(busy.endpoint.id);
});

test("a replay sends the same event again as a delivery of its own", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint } = await f.endpoint();
  f.receiver.answer((response) => void response.writeHead(410).end());
  await f.announce();
  await f.pass();
  const [failed] = await f.deliveries();
  assert.ok(failed);
  const input = { principal: f.owner, deliveryId: failed.id };
  await assert.rejects(replayDelivery(f.ctx, input), { reason: "WEBHOOK_DISABLED" });
  const change = { url: undefined, description: undefined, eventTypes: [], enabled: true };
  await updateEndpoint(f.ctx, f.deps, { principal: f.owner, endpointId: endpoint.id, ...change });
  f.receiver.answer((response) => void response.writeHead(204).end());
  f.advance(1_000);
  const replay = await replayDelivery(f.ctx, input);
  assert.deepEqual(
    [replay.eventId, replay.replayOf, replay.status, replay.sequence],
    [failed.eventId, failed.id, "PENDING", failed.sequence],
  );
  await f.pass();
  const bodies = f.receiver.received.map((got) => [got.headers["webhook-id"], got.body]);
  assert.deepEqual(bodies[0], bodies[1]);
  assert.deepEqual(
    (await f.deliveries()).map((one) => one.status),
    ["FAILED", "DELIVERED"],
  );
});

test("a ping goes to a disabled endpoint too, once, and its failure disables nothing", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint } = await f.endpoint({ eventTypes: ["payment.failed"] });
  const input = { principal: f.owner, endpointId: endpoint.id };
  const change = { url: undefined, description: undefined, eventTypes: [] };
  f.receiver.answer((response) => void response.writeHead(500).end());
  const { id } = await pingEndpoint(f.ctx, input);
  await f.pass();
  assert.equal((await f.seen(endpoint.id)).disabled, null);
  await updateEndpoint(f.ctx, f.deps, { ...input, ...change, enabled: false });
  f.receiver.answer((response) => void response.writeHead(204).end());
  f.advance(1);
  await pingEndpoint(f.ctx, input);
  await f.pass();
  const [first, second] = await f.deliveries();
  assert.deepEqual([first?.id, first?.status, second?.status], [id, "FAILED", "DELIVERED"]);
  assert.equal(JSON.parse(f.receiver.received[1]?.body ?? "").type, "webhook.ping");
  assert.equal((await f.seen(endpoint.id)).disabled?.reason, "ASKED");
});

test("what comes to an endpoint where too much waits is written down as cancelled; pings and replays are refused", async (t) => {
  const f = await webhookFixture(t);
  const { endpoint } = await f.endpoint();
  await f.announce();
  const [one] = await f.deliveries();
  assert.ok(one);
  await sql`
    insert into webhook_delivery (id, event_id, endpoint_id, user_id, status, attempts_max, next_attempt_at, created_at)
    select gen_random_uuid(), event_id, endpoint_id, user_id, status, 12, next_attempt_at, created_at - interval '1 hour'
    from webhook_delivery, generate_series(2, ${PENDING_MAX}::int)`.execute(f.ctx.db);
  f.advance(1);
  await f.announce({ type: "balance.low" });
  const { rows } = await sql<{ status: string }>`
    select status from webhook_delivery d join webhook_event e on e.id = d.event_id where e.type = 'balance.low'`.execute(
    f.ctx.db,
  );
  assert.deepEqual(rows, [{ status: "CANCELLED" }]);
  const principal = f.owner;
  const full = { reason: "TOO_MANY_DELIVERIES" };
  await assert.rejects(pingEndpoint(f.ctx, { principal, endpointId: endpoint.id }), full);
  await assert.rejects(replayDelivery(f.ctx, { principal, deliveryId: one.id }), full);
});

test("events are forgotten after 30 days, with their deliveries; an endpoint goes with its own", async (t) => {
  const f = await webhookFixture(t);
  const first = await f.endpoint();
  await f.announce();
  f.advance(KEPT_MS + 1_000);
  await f.announce();
  assert.equal(await purgeWebhooks(f.ctx), 1);
  assert.deepEqual(
    (await f.deliveries()).map((one) => one.sequence),
    [2n],
  );
  await deleteEndpoint(f.ctx, { principal: f.owner, endpointId: first.endpoint.id });
  assert.deepEqual(await f.deliveries(), []);
  assert.equal(await f.pass(), 0);
});
