import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { cpuPrice, credit, fixture, tokenPriceOf, units, usage } from "../../test/support/billing.ts";
import { modelFixture } from "../../test/support/models.ts";
import { stripeWorld } from "../../test/support/stripe/world.ts";
import { createGuardedClient } from "../base/guarded-client.ts";
import { secretBox } from "../base/seal.ts";
import { noSteps } from "../base/steps.ts";
import * as billing from "../billing/index.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import { deleteModel } from "../models/index.ts";
import { createEndpoint, listDeliveries, SEND_MS } from "../webhooks/index.ts";
import { billingNews, modelNews, newsOf, ticketChanged } from "./news.ts";

/** A user's endpoint for everything; events are read from its deliveries, which nobody sends. */
async function subscribe(t: { after(work: () => Promise<void>): void }, ctx: DbCtx, userId: string) {
  const client = createGuardedClient({ allowed: [], userAgent: "test" });
  t.after(() => client.close());
  const box = secretBox("a secret that tests share, long enough to be one");
  const deps = { box, client, steps: noSteps, sendMs: SEND_MS };
  const url = "https://hooks.example.com/";
  await createEndpoint(ctx, deps, { userId, url, description: "", eventTypes: [] });
  return async () => {
    const query = { userId, endpointId: "", status: null };
    const { rows } = await listDeliveries(ctx, query, { size: 1_000, after: undefined });
    const told = rows.map((one) => JSON.parse(one.payload));
    return told.sort((a, b) => a.sequence - b.sequence);
  };
}

test("every status that a model takes on is told once, in order, and never what did not commit", async (t) => {
  const f = await modelFixture(t, { deps: { news: modelNews } });
  const told = await subscribe(t, f.ctx, f.owner.userId);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  await deleteModel(f.ctx, f.deps, { principal: f.owner, modelId: model.id });
  await f.live(60_000);
  const events = await told();
  const statuses = events.map((one) => one.data.status);
  assert.deepEqual(
    events.map((one) => one.data.previousStatus),
    ["MODEL_STATUS_UNSPECIFIED", ...statuses.slice(0, -1)],
  );
  assert.deepEqual(statuses.at(0), "MODEL_STATUS_PENDING");
  assert.deepEqual(statuses.slice(-3), [
    "MODEL_STATUS_RUNNING",
    "MODEL_STATUS_DELETING",
    "MODEL_STATUS_DELETED",
  ]);
  assert.ok(events.every((one) => one.type === "model.status_changed" && one.data.modelId === model.id));
  assert.ok(events.every((one) => /^CONDITION_REASON_[A-Z_]+$/.test(one.data.reason)));
  const keys = new Set(events.flatMap((one) => Object.keys(one.data)));
  assert.deepEqual([...keys].sort(), ["modelId", "previousStatus", "reason", "status", "userId"]);
});

test("a deploy that fails in its transaction tells nothing", async (t) => {
  const f = await modelFixture(t, {
    deps: {
      news: modelNews,
      steps: {
        reach: (step) => {
          if (step === "deploy.before-commit") throw new Error("crash");
        },
      },
    },
  });
  const told = await subscribe(t, f.ctx, f.owner.userId);
  await assert.rejects(f.deploy(), /crash/);
  assert.deepEqual(await told(), []);
});

test("payments are told as they end: taken, and declined", async (t) => {
  const f = await fixture(t);
  await billing.configureBilling(f.ctx, { currency: "USD", payments: "test" });
  const told = await subscribe(t, f.ctx, f.userId);
  const processor = billing.testPayments();
  const pay = async (cardId: string, key: string) => {
    await billing.attachCard(f.ctx, processor, { userId: f.userId, cardId });
    const money = { currency: "USD", nanos: units(12.5) };
    return billing.topUp(f.ctx, processor, { userId: f.userId, money, cardId, key });
  };
  const paid = await pay("pm_card_visa", "a");
  await pay("pm_card_visa", "a");
  for (const key of ["b", "b"]) {
    await assert.rejects(pay("pm_card_visa_chargeDeclined", key), { reason: "CARD_DECLINED" });
  }
  assert.equal(await billing.tellNews(f.ctx, billingNews), 2);
  assert.equal(await billing.tellNews(f.ctx, billingNews), 0);
  const [success, failure, ...rest] = await told();
  const amount = { currencyCode: "USD", units: "12", nanos: 500_000_000 };
  const { userId } = f;
  assert.deepEqual(
    [success.type, success.data],
    ["payment.succeeded", { userId, stripePaymentIntentId: paid.processorId, amount }],
  );
  assert.equal(failure.type, "payment.failed");
  assert.deepEqual([failure.data.reason, failure.data.amount], ["CARD_DECLINED", amount]);
  assert.deepEqual(rest, []);
});

test("refunds, disputes and cards that end are told by ids, states and amounts, and by mail where somebody should look", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake, stripe } = world;
  const told = await subscribe(t, f.ctx, f.userId);
  const stripePaymentMethodId = await world.attach("pm_card_old");
  await world.attach();
  await billing.setDefaultCard(f.ctx, stripe, {
    userId: f.userId,
    cardId: (await billing.listCards(f.ctx, f.userId))[1]?.cardId ?? "",
  });
  const { processorId: stripePaymentIntentId } = await world.pay({ nanos: units(9) });
  const money = { currency: "USD", nanos: units(2) };
  const order = { operatorId: f.userId, paymentId: stripePaymentIntentId, money, reason: "", key: "k" };
  await billing.refundPayment(f.ctx, stripe, order);
  fake.books.dispute(stripePaymentIntentId, "needs_response", 700);
  await world.hear(world.newest("charge.dispute.created"));
  await billing.warnOfExpiry(f.ctx, { now: f.now() });
  await billing.tellNews(f.ctx, newsOf({ mail: true }).billing);
  const amount = (count: number) => ({ currencyCode: "USD", units: String(count), nanos: 0 });
  const [stripeRefundId] = fake.books.refunds.keys();
  const [stripeDisputeId] = fake.books.disputes.keys();
  const { userId } = f;
  assert.deepEqual(
    (await told()).map(({ type, data }) => [type, data]),
    [
      ["payment.succeeded", { userId, stripePaymentIntentId, amount: amount(9) }],
      ["payment.refunded", { userId, stripePaymentIntentId, stripeRefundId, amount: amount(2) }],
      [
        "payment.disputed",
        {
          ...{ userId, stripePaymentIntentId, stripeDisputeId, amount: amount(7) },
          ...{ status: "DISPUTE_STATUS_OPEN", reason: "fraudulent" },
        },
      ],
      [
        "card.expired",
        { userId, stripePaymentMethodId, brand: "visa", last4: "0077", expMonth: 12, expYear: 2020 },
      ],
    ],
  );
  const { rows } = await sql<{ kind: string }>`select kind from mail_outbox order by kind`.execute(f.ctx.db);
  assert.deepEqual(
    rows.map(({ kind }) => kind),
    ["card.expired", "payment.disputed"],
  );
});

test("a balance that falls below the mark is told once for each fall, by GPU time and by tokens, and holds don't count", async (t) => {
  const f = await fixture(t);
  await billing.configureBilling(f.ctx, { currency: "USD", payments: "off", balanceLowNanos: units(5) });
  const told = await subscribe(t, f.ctx, f.userId);
  const price = await cpuPrice(f, units(4 * 3.6));
  await credit(f, units(6));
  const window = {
    ...{ modelId: f.ctx.random.uuid(), deploymentId: f.ctx.random.uuid(), userId: f.userId },
    ...{ slot: 0, price, gpuCount: 0, windowMs: 900_000 },
  };
  await withTransaction(f.ctx, (tx) => billing.ensureWindowHeld(tx, { ...window, now: f.now() }));
  assert.equal(await billing.tellNews(f.ctx, billingNews), 0); // 3.60 are held, nothing is spent
  const probe = { deploymentId: window.deploymentId, slot: 0 };
  for (let at = 0; at <= 20; at++) {
    await withTransaction(f.ctx, (tx) => billing.meterProbe(tx, { ...probe, at: f.now() }));
    f.advance(20_000);
  }
  await withTransaction(f.ctx, (tx) => billing.endSlot(tx, { ...probe, at: f.now() }));
  assert.equal(await billing.tellNews(f.ctx, billingNews), 1);
  const [low] = await told();
  assert.equal(low.type, "balance.low");
  assert.deepEqual(low.data.mark, { currencyCode: "USD", units: "5", nanos: 0 });
  const left = (await billing.balanceOf(f.ctx, f.userId)).totalNanos;
  assert.deepEqual(low.data.balance, {
    currencyCode: "USD",
    units: (left / 1_000_000_000n).toString(),
    nanos: Number(left % 1_000_000_000n),
  });
  await credit(f, units(2.5));
  const tokens = await tokenPriceOf(f);
  const spend = async () => {
    const want = { gatewayId: "g", userId: f.userId, wantNanos: units(2), currency: "USD", now: f.now() };
    const slice = await billing.leaseSlice(f.ctx, want);
    const record = usage(f, { sliceId: slice.sliceId, priceVersionId: tokens.versionId });
    const much = { promptTokens: 700_000, cachedTokens: 0, completionTokens: 0 };
    await billing.ingestUsage(f.ctx, [{ ...record, ...much }]);
  };
  await spend();
  await spend(); // below already
  assert.equal(await billing.tellNews(f.ctx, billingNews), 1);
  assert.deepEqual(
    (await told()).map((one) => [one.type, one.sequence]),
    [
      ["balance.low", 1],
      ["balance.low", 2],
    ],
  );
});

test("without a mark no balance is low", async (t) => {
  const f = await fixture(t);
  await credit(f, units(6));
  await sql`select ledger_post('charge', 'charge.tokens', ${f.userId}, 'USD', ${units(6)}, ${f.now()})`.execute(
    f.ctx.db,
  );
  assert.equal(await billing.tellNews(f.ctx, billingNews), 0);
});

test("a ticket's change is told with states and counts, without its words", async (t) => {
  const f = await modelFixture(t);
  const told = await subscribe(t, f.ctx, f.owner.userId);
  const change = {
    ticketId: f.ctx.random.uuid(),
    userId: f.owner.userId,
    from: null,
    to: "OPEN",
    messageCount: 1,
  } as const;
  await withTransaction(f.ctx, (tx) => ticketChanged(tx, change));
  const [event] = await told();
  assert.equal(event.type, "ticket.changed");
  assert.deepEqual(event.data, {
    userId: f.owner.userId,
    ticketId: change.ticketId,
    previousStatus: "TICKET_STATUS_UNSPECIFIED",
    status: "TICKET_STATUS_OPEN",
    messageCount: 1,
  });
});

test("with a mail hook, a runway that ends and a model that stops for want of money are also written to its owner", async (t) => {
  const news = newsOf({ mail: true });
  const f = await modelFixture(t, { creditNanos: 1_000_000_000n, deps: { news: news.models } });
  await billing.configureBilling(f.ctx, { currency: "USD", payments: "off", runwayMarks: [3_600] });
  const told = await subscribe(t, f.ctx, f.owner.userId);
  const { model } = await f.deploy();
  await f.until(model.id, "RUNNING");
  await billing.watchRunways(f.ctx);
  await billing.tellNews(f.ctx, news.billing);
  await f.until(model.id, "PAUSED");
  const { rows } = await sql<{ kind: string; body: string }>`
    select kind, body from mail_outbox where user_id = ${f.owner.userId} order by created_at`.execute(
    f.ctx.db,
  );
  assert.deepEqual(
    rows.map(({ kind }) => kind),
    ["balance.runway_low", "model.paused"],
  );
  assert.ok(rows.every(({ body }) => body.includes("Top up")));
  const [warned] = (await told()).filter((one) => one.type === "balance.runway_low");
  assert.equal(warned?.data.markSeconds, 3_600);
  assert.equal(warned?.data.spendHourly.units, "3");
});
