/**
 * A second opinion on the adapter of Stripe, beside the stand-in of our own: the same calls against localstripe, which somebody else
 * wrote. It knows no idempotency keys, no events of ours, no fees and no bounds of refunds: those are proven by the stand-in alone.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import type { BaseCtx } from "../../src/base/ctx.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { stripePayments } from "../../src/billing/index.ts";
import { SECRET_KEY, startLocalstripe } from "./localstripe-parts.ts";

const HOUR_MS = 3_600_000;
const ctx: BaseCtx = { clock: systemClock, random: systemRandom, log: silentLog };
const usd = (units: bigint) => ({ currency: "USD", nanos: units * 1_000_000_000n });

test("customers, cards, payments and refunds are what somebody else's Stripe says that they are", async (t) => {
  const other = await startLocalstripe(t);
  const stripe = await stripePayments({ secretKey: SECRET_KEY, webhookSecret: undefined, apiUrl: other.url });
  const { customerId } = await stripe.createCustomer(ctx, { userId: ctx.random.uuid() });
  const visa = await other.card("4242424242424242");
  const pay = (key: string, cardId: string, offSession = false) =>
    stripe.pay(ctx, { key, customerId, cardId, money: usd(5n), offSession });

  await t.test("a setup has a secret for the browser", async () => {
    const setup = await stripe.createSetupIntent(ctx, { key: "setup", customerId });
    assert.match(setup.clientSecret, new RegExp(`^${setup.setupIntentId}_secret_`));
  });
  await t.test("a card is attached once, made the default, and told without its number", async () => {
    const card = { cardId: visa, brand: "visa", last4: "4242", expMonth: 12, expYear: 2099 };
    assert.deepEqual(await stripe.attachCard(ctx, { customerId, cardId: visa }), card);
    assert.deepEqual(await stripe.attachCard(ctx, { customerId, cardId: visa }), card);
    await stripe.makeDefault(ctx, { customerId, cardId: visa });
  });
  await t.test("a card that the bank refuses and one that nobody has are told apart", async () => {
    const declined = await other.card("4000000000000002");
    await assert.rejects(stripe.attachCard(ctx, { customerId, cardId: declined }), {
      reason: "CARD_DECLINED",
    });
    await assert.rejects(stripe.attachCard(ctx, { customerId, cardId: "pm_nobody" }), {
      reason: "PAYMENT_METHOD_UNKNOWN",
    });
  });
  await t.test("a payment succeeds, is read again, and is found by its key", async () => {
    const paid = await pay("paid", visa);
    assert.deepEqual(paid.outcome, { state: "succeeded" });
    assert.deepEqual((await stripe.news?.payment(ctx, paid.processorId))?.outcome, { state: "succeeded" });
    const since = new Date(ctx.clock.now().getTime() - HOUR_MS);
    const found = await stripe.findPayment(ctx, { key: "paid", customerId, since });
    assert.equal(found?.processorId, paid.processorId);
    assert.equal(await stripe.findPayment(ctx, { key: "never", customerId, since }), undefined);
  });
  await t.test("a declined payment and one that its holder must confirm move nothing", async () => {
    const later = await other.card("4000000000000341");
    await stripe.attachCard(ctx, { customerId, cardId: later });
    const { outcome } = await pay("declined", later, true);
    assert.ok(outcome.state === "failed" && outcome.reason === "CARD_DECLINED", outcome.state);
    const asking = await other.card("4000002500003155");
    await stripe.attachCard(ctx, { customerId, cardId: asking });
    const waits = await pay("asks", asking);
    assert.deepEqual(waits.outcome, { state: "requires_action" });
    assert.match(waits.clientSecret, /_secret_/);
  });
  await t.test("a refund succeeds, is read again, and is found by its key", async () => {
    const { processorId: paymentId } = await pay("given back", visa);
    const made = await stripe.refund(ctx, { key: "back", paymentId, money: usd(2n) });
    assert.deepEqual(made.outcome, { state: "succeeded" });
    assert.deepEqual((await stripe.news?.refund(ctx, made.processorId))?.money, usd(2n));
    assert.equal((await stripe.findRefund(ctx, { key: "back", paymentId }))?.processorId, made.processorId);
  });
  await t.test("a card of another customer stays where it is, one's own comes off", async () => {
    await stripe.detachCard(ctx, { customerId: "cus_other", cardId: visa });
    assert.equal(await other.customerOf(visa), customerId);
    await stripe.detachCard(ctx, { customerId, cardId: visa });
    assert.equal(await other.customerOf(visa), null);
    await stripe.detachCard(ctx, { customerId, cardId: visa });
  });
});
