import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { pino } from "pino";
import { CURRENCY, type Fixture, units } from "../../../../test/support/billing.ts";
import { SECRET_KEY, type StripeWorld, stripeWorld } from "../../../../test/support/stripe/world.ts";
import {
  auditLedger,
  balanceOf,
  detachCard,
  listCards,
  moneyVerdict,
  resumePayments,
  setDefaultCard,
  stripePayments,
} from "../../index.ts";
import { fromStripe, toStripe } from "./amounts.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const total = async (f: Fixture) => (await balanceOf(f.ctx, f.userId)).totalNanos;
const resume = ({ f, stripe }: StripeWorld) => resumePayments(f.ctx, stripe, { now: f.now() });
const paymentsAt = ({ fake }: StripeWorld) => [...fake.books.payments.values()];
const callsOf = ({ fake }: StripeWorld, what: string) => fake.calls.filter((call) => call.what === what);

test("a user becomes a customer once, and a card on file is the customer's", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake, stripe } = world;
  const visa = await world.attach();
  const amex = await world.attach("pm_card_amex");
  assert.equal(fake.books.customers.size, 1);
  const [customer] = fake.books.customers.values();
  assert.deepEqual(customer?.metadata, { slipway_user: f.userId });
  await setDefaultCard(f.ctx, stripe, { userId: f.userId, cardId: amex });
  assert.deepEqual(customer?.invoice_settings, { default_payment_method: amex });
  await detachCard(f.ctx, stripe, { userId: f.userId, cardId: amex });
  assert.equal(fake.books.cards.get(amex)?.customer, null);
  const cards = await listCards(f.ctx, f.userId);
  assert.deepEqual(
    cards.map(({ cardId, last4, isDefault }) => [cardId, last4, isDefault]),
    [[visa, "4242", true]],
  );
});

test("nobody detaches or attaches what is another customer's", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake, stripe } = world;
  const theirs = fake.books.attach("pm_card_visa", { customer: fake.books.customer({}).id }).id;
  const input = { userId: f.userId, cardId: theirs };
  await assert.rejects(detachCard(f.ctx, stripe, input), { reason: "PAYMENT_METHOD_UNKNOWN" });
  await assert.rejects(setDefaultCard(f.ctx, stripe, input), { reason: "PAYMENT_METHOD_UNKNOWN" });
  await assert.rejects(world.attach(theirs), { reason: "PAYMENT_METHOD_UNKNOWN" });
  await stripe.detachCard(f.ctx, { customerId: "cus_other", cardId: theirs });
  assert.notEqual(fake.books.cards.get(theirs)?.customer, null);
});

test("attaching a card again changes nothing, and a card that the bank refuses is not on file", async (t) => {
  const world = await stripeWorld(t);
  const card = await world.attach();
  await world.attach(card);
  await assert.rejects(world.attach("pm_card_chargeDeclined"), { reason: "CARD_DECLINED" });
  await assert.rejects(world.attach("pm_nobody"), { reason: "PAYMENT_METHOD_UNKNOWN" });
  assert.equal((await listCards(world.f.ctx, world.f.userId)).length, 1);
});

test("a top-up is paid once for its key, and keeps no secret", async (t) => {
  const world = await stripeWorld(t);
  const { f } = world;
  await world.attach();
  const first = await world.pay({ key: "k" });
  assert.deepEqual(await world.pay({ key: "k" }), first);
  assert.equal(first.state, "succeeded");
  // Long after the processor forgot its key.
  f.advance(48 * HOUR_MS);
  assert.deepEqual(await world.pay({ key: "k" }), first);
  assert.equal(paymentsAt(world).length, 1);
  assert.equal(await total(f), units(5));
  const { rows } = await sql<{ row: object }>`select to_jsonb(p) as row from payment_intent p`.execute(
    f.ctx.db,
  );
  assert.ok(first.clientSecret.includes("_secret_"));
  assert.ok(!JSON.stringify(rows).includes(first.clientSecret));
});

test("each refusal has a reason and a way out, and moves nothing", async (t) => {
  const world = await stripeWorld(t);
  const fates = {
    pm_card_chargeCustomerFail: ["CARD_DECLINED", /without a reason/],
    pm_card_chargeDeclinedInsufficientFunds: ["CARD_DECLINED", /enough money/],
    pm_card_chargeDeclinedExpiredCard: ["CARD_DECLINED", /has expired/],
    // Whoever holds a stolen card learns nothing.
    pm_card_chargeDeclinedStolenCard: ["CARD_DECLINED", /without a reason/],
    pm_card_old: ["CARD_EXPIRED", /expired/],
  } as const;
  for (const [card, [reason, message]] of Object.entries(fates)) {
    const cardId = await world.attach(card);
    await assert.rejects(world.pay({ cardId }), { reason, message }, card);
  }
  const cardId = await world.attach();
  await assert.rejects(world.pay({ cardId, nanos: units(0.1) }), { reason: "AMOUNT_INVALID" });
  world.fake.books.detach(cardId);
  await assert.rejects(world.pay({ cardId }), { reason: "PAYMENT_METHOD_UNKNOWN" });
  assert.equal(await total(world.f), 0n);
});

test("a payment that the bank wants confirmed waits with its secret, and is in the balance once it is", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake } = world;
  await world.attach("pm_card_authenticationRequired");
  const waiting = await world.pay({ key: "k" });
  assert.equal(waiting.state, "requires_action");
  assert.ok(waiting.clientSecret.startsWith(waiting.processorId));
  assert.equal(await total(f), 0n);
  fake.books.holder(waiting.processorId, "confirms");
  f.advance(16 * MINUTE_MS);
  assert.equal(await resume(world), 1);
  assert.equal(await total(f), units(5));
  assert.equal((await world.pay({ key: "k" })).state, "succeeded");
  assert.equal(paymentsAt(world).length, 1);
});

test("a confirmation that nobody gives ends after a day, and the user is told", async (t) => {
  const world = await stripeWorld(t);
  await world.attach("pm_card_authenticationRequired");
  const { processorId } = await world.pay({ key: "k" });
  world.f.advance(25 * HOUR_MS);
  await resume(world);
  assert.equal(world.fake.books.payments.get(processorId)?.status, "canceled");
  world.f.advance(16 * MINUTE_MS);
  await resume(world);
  assert.equal(await resume(world), 0);
  await assert.rejects(world.pay({ key: "k" }), { reason: "CARD_DECLINED", message: /cancelled/ });
});

for (const how of ["500", "kept", "drop", "429"] as const) {
  for (const when of ["before", "after"] as const) {
    test(`an answer lost by ${how} ${when} the effect costs nobody anything`, async (t) => {
      const world = await stripeWorld(t);
      await world.attach();
      // The client asks twice by itself.
      world.fake.faults.push({ match: "POST /v1/payment_intents", when, how, times: 2 });
      const paid = await world.pay({ key: "k" }).catch((error: unknown) => error);
      if (paid instanceof Error) assert.equal((paid as { reason?: string }).reason, "UNAVAILABLE");
      world.f.advance(61_000);
      await resume(world);
      await resume(world);
      assert.equal((await world.pay({ key: "k" })).state, "succeeded");
      assert.equal(world.fake.books.succeeded(), 500);
      assert.equal(await total(world.f), units(5));
      assert.equal(new Set(callsOf(world, "POST /v1/payment_intents").map(({ key }) => key)).size, 1);
    });
  }
}

test("a payment that the processor never took is given up once its key may be forgotten, and not made twice", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  world.fake.faults.push({ match: "POST /v1/payment_intents", when: "before", how: "drop", times: 3 });
  await assert.rejects(world.pay({ key: "k" }), { reason: "UNAVAILABLE" });
  world.fake.faults.length = 0;
  world.f.advance(24 * HOUR_MS);
  await resume(world);
  assert.equal(await resume(world), 0);
  assert.equal(paymentsAt(world).length, 0);
  await assert.rejects(world.pay({ key: "k" }), { message: /Nothing was taken/ });
  assert.equal(await total(world.f), 0n);
});

test("a payment that was taken is found and credited even after its key was forgotten", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  world.fake.faults.push({ match: "POST /v1/payment_intents", when: "after", how: "drop", times: 3 });
  await assert.rejects(world.pay({ key: "k" }), { reason: "UNAVAILABLE" });
  world.fake.faults.length = 0;
  world.f.advance(40 * HOUR_MS);
  await resume(world);
  assert.equal(await total(world.f), units(5));
  assert.equal(paymentsAt(world).length, 1);
});

test("a secret key that Stripe refuses takes nothing, and says that nothing was taken", async (t) => {
  const { f, fake } = await stripeWorld(t);
  const refused = await stripePayments({
    secretKey: "sk_live_refused01",
    webhookSecret: undefined,
    apiUrl: fake.url,
  });
  const { outcome } = await refused.pay(f.ctx, {
    key: "k",
    customerId: "cus_1",
    cardId: "pm_1",
    money: { currency: CURRENCY, nanos: units(5) },
    offSession: false,
  });
  assert.deepEqual(outcome.state === "failed" && outcome.reason, "UNAVAILABLE");
  assert.equal(fake.books.payments.size, 0);
});

test("neither the secret key nor a payment's secret reaches the log", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  const lines: string[] = [];
  const log = pino({ level: "trace" }, { write: (line: string) => void lines.push(line) });
  world.fake.faults.push({ match: "POST /v1/payment_intents", when: "after", how: "500", times: 2 });
  await world.pay({ key: "k" }).catch((error: unknown) => log.error({ err: error }, "failed"));
  world.f.advance(61_000);
  world.fake.faults.push({ match: "GET /v1/payment_intents", when: "before", how: "500", times: 2 });
  await resumePayments({ ...world.f.ctx, log }, world.stripe, { now: world.f.now() });
  assert.equal(lines.length, 2);
  for (const secret of [SECRET_KEY, "_secret_", "Bearer"])
    assert.ok(!lines.join("").includes(secret), secret);
});

test("money of Stripe's test mode is play money", async (t) => {
  const world = await stripeWorld(t);
  assert.ok(SECRET_KEY.startsWith("sk_test_"));
  assert.equal(world.stripe.name, "stripe_test");
  await world.attach();
  await world.pay();
  const question = { userId: world.f.userId, holdNanos: 1n, currency: CURRENCY, placeKind: "cloud" } as const;
  const { errors } = await moneyVerdict(world.f.ctx, question);
  assert.deepEqual(
    errors.map(({ reason }) => reason),
    ["TEST_MONEY_REFUSED"],
  );
});

test("many payments at once for one key are one payment", async (t) => {
  const world = await stripeWorld(t, { connectionsMax: 8 });
  await world.attach();
  const paid = await Promise.allSettled(Array.from({ length: 8 }, () => world.pay({ key: "k" })));
  assert.ok(paid.some(({ status }) => status === "fulfilled"));
  assert.equal(paymentsAt(world).length, 1);
  assert.equal(await total(world.f), units(5));
  assert.deepEqual(await auditLedger(world.f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
});

test("amounts are Stripe's smallest units, exactly or not at all", () => {
  const nanos = (currency: string, amount: bigint) => toStripe({ currency, nanos: amount });
  assert.equal(nanos("USD", units(12.34)), 1_234);
  assert.equal(nanos("JPY", units(500)), 500);
  assert.equal(nanos("ISK", units(5)), 500);
  assert.equal(nanos("KWD", units(1.23)), 1_230);
  assert.equal(nanos("KWD", units(1.234)), undefined);
  assert.equal(nanos("USD", 1n), undefined);
  for (const [amount, currency] of [
    [1_234, "usd"],
    [500, "jpy"],
    [1_230, "kwd"],
  ] as const) {
    assert.equal(toStripe(fromStripe(amount, currency)), amount);
  }
});
