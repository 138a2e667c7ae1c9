import assert from "node:assert/strict";
import { test } from "node:test";
import { CURRENCY, units } from "../../../../test/support/billing.ts";
import { type StripeWorld, stripeWorld } from "../../../../test/support/stripe/world.ts";
import { setUserDisabled } from "../../../identity/index.ts";
import {
  type AutoTopUpInput,
  auditLedger,
  detachCard,
  getAutoTopUp,
  listCards,
  resumePayments,
  runAutoTopUps,
  setAutoTopUp,
} from "../../index.ts";
import { postTransfer } from "../../ledger/index.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const usd = (count: number) => ({ currency: CURRENCY, nanos: units(count) });

const set = ({ f }: StripeWorld, change: Partial<AutoTopUpInput> = {}) =>
  setAutoTopUp(f.ctx, {
    userId: f.userId,
    enabled: true,
    threshold: usd(10),
    amount: usd(20),
    dayMax: usd(60),
    monthMax: usd(100),
    ...change,
  });
/** A minute later, one pass. */
const pass = ({ f, stripe }: StripeWorld, afterMs = MINUTE_MS) =>
  runAutoTopUps(f.ctx, stripe, { now: f.advance(afterMs) });
const spend = ({ f }: StripeWorld, count: number) =>
  postTransfer(f.ctx, {
    key: f.ctx.random.uuid(),
    code: "charge.tokens",
    ownerId: f.userId,
    money: usd(count),
    at: f.now(),
  });
const settings = ({ f }: StripeWorld) => getAutoTopUp(f.ctx, f.userId);
const paidTimes = ({ fake }: StripeWorld) => fake.books.payments.size;

test("nobody is charged who has not switched it on", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  await pass(world);
  await set(world);
  await set(world, { enabled: false });
  await pass(world);
  assert.equal(paidTimes(world), 0);
});

test("below the threshold the default card pays, off session, until the balance is above it", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  await set(world, { threshold: usd(30) });
  for (let i = 0; i < 5; i++) await pass(world);
  assert.equal(await world.total(), units(40));
  await spend(world, 11);
  await pass(world);
  await pass(world);
  assert.equal(await world.total(), units(49));
  assert.deepEqual([(await settings(world))?.failures, (await settings(world))?.failureReason], [0, null]);
});

test("the limits of a day and of a month hold, are told, and end with the day and the month", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  await set(world, { threshold: usd(1_000) });
  for (let i = 0; i < 8; i++) await pass(world);
  assert.equal(await world.total(), units(60));
  const limited = await settings(world);
  assert.equal(limited?.failureReason, "LIMIT_REACHED");
  assert.match(limited?.failure ?? "", /60\.00 USD a day/);
  assert.deepEqual(limited?.nextAt, new Date("2026-03-02T00:00:00Z"));
  world.f.advance(14 * HOUR_MS);
  for (let i = 0; i < 8; i++) await pass(world);
  assert.equal(await world.total(), units(100));
  assert.deepEqual((await settings(world))?.nextAt, new Date("2026-04-01T00:00:00Z"));
  world.f.advance(31 * 24 * HOUR_MS);
  await pass(world);
  assert.equal(await world.total(), units(120));
});

test("a card that does not pay is tried three times, with the reason told, and then it is off", async (t) => {
  const world = await stripeWorld(t);
  await world.attach("pm_card_chargeDeclinedInsufficientFunds");
  await set(world);
  await pass(world);
  const first = await settings(world);
  assert.deepEqual([first?.enabled, first?.failures, first?.failureReason], [true, 1, "CARD_DECLINED"]);
  await pass(world);
  assert.equal(paidTimes(world), 1, "not again before its time");
  await pass(world, 31 * MINUTE_MS);
  await pass(world, 5 * HOUR_MS);
  for (let i = 0; i < 3; i++) await pass(world, 24 * HOUR_MS);
  const last = await settings(world);
  assert.equal(paidTimes(world), 3);
  assert.deepEqual([last?.enabled, last?.failures], [false, 3]);
  assert.match(last?.failure ?? "", /enough money.*is off now/);
  await world.attach();
  const [, visa] = await listCards(world.f.ctx, world.f.userId);
  await detachCard(world.f.ctx, world.stripe, {
    userId: world.f.userId,
    cardId: (await listCards(world.f.ctx, world.f.userId))[0]?.cardId ?? "",
  });
  assert.ok(visa);
  await set(world);
  await pass(world);
  assert.equal(await world.total(), units(20));
});

test("a bank that wants its cardholder is a failure with that reason, since nobody is there", async (t) => {
  const world = await stripeWorld(t);
  await world.attach("pm_card_authenticationRequired");
  await set(world);
  await pass(world);
  const { failureReason, failures } = (await settings(world)) ?? {};
  assert.deepEqual([failureReason, failures], ["CARD_NEEDS_ACTION", 1]);
});

test("a card that was taken off the file is a failure, and a disabled user pays no more", async (t) => {
  const world = await stripeWorld(t);
  const { f, stripe } = world;
  const cardId = await world.attach();
  await set(world);
  await detachCard(f.ctx, stripe, { userId: f.userId, cardId });
  await pass(world);
  assert.equal((await settings(world))?.failureReason, "CARD_MISSING");
  await world.attach();
  await set(world);
  await setUserDisabled(f.ctx, { userId: f.userId, disabled: true });
  await pass(world);
  assert.deepEqual([(await settings(world))?.enabled, paidTimes(world)], [false, 0]);
});

for (const when of ["before", "after"] as const) {
  test(`an answer lost ${when} the effect is asked for again, and pays once`, async (t) => {
    const world = await stripeWorld(t);
    await world.attach();
    await set(world);
    world.fake.faults.push({ match: "POST /v1/payment_intents", when, how: "drop", times: 2 });
    await pass(world);
    world.fake.faults.length = 0;
    const { failures, enabled } = (await settings(world)) ?? {};
    assert.deepEqual([failures, enabled], [0, true]);
    await pass(world, 6 * MINUTE_MS);
    await resumePayments(world.f.ctx, world.stripe, { now: world.f.now() });
    await pass(world, 6 * MINUTE_MS);
    assert.equal(world.fake.books.succeeded(), 2_000);
    assert.equal(await world.total(), units(20));
  });
}

test("a payment that ended without us is counted for what it was, though its card is gone", async (t) => {
  const world = await stripeWorld(t);
  const { f, stripe, fake } = world;
  const cardId = await world.attach();
  await set(world);
  fake.faults.push({ match: "POST /v1/payment_intents", when: "after", how: "drop", times: 2 });
  await pass(world);
  fake.faults.length = 0;
  await detachCard(f.ctx, stripe, { userId: f.userId, cardId });
  f.advance(2 * MINUTE_MS);
  await resumePayments(f.ctx, stripe, { now: f.now() });
  assert.equal(await world.total(), units(20));
  await world.attach();
  await spend(world, 15);
  await pass(world, 6 * MINUTE_MS);
  await pass(world);
  assert.deepEqual([await world.total(), paidTimes(world)], [units(25), 2]);
  assert.equal((await settings(world))?.failures, 0);
});

test("the processor's own trouble is no failure of the card", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  await set(world);
  world.fake.faults.push({ match: "POST /v1/payment_intents", when: "before", how: "401" });
  await pass(world);
  const { failures, failureReason, enabled } = (await settings(world)) ?? {};
  assert.deepEqual([failures, failureReason, enabled], [0, "UNAVAILABLE", true]);
  await pass(world, 31 * MINUTE_MS);
  assert.equal(await world.total(), units(20));
});

test("several workers at once charge a user once", async (t) => {
  const world = await stripeWorld(t, { connectionsMax: 8 });
  const { f, stripe } = world;
  await world.attach();
  await set(world);
  const now = f.advance(MINUTE_MS);
  await Promise.all(Array.from({ length: 6 }, () => runAutoTopUps(f.ctx, stripe, { now })));
  assert.equal(paidTimes(world), 1);
  assert.equal(await world.total(), units(20));
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
});

test("settings that could not work are refused by name, and it is not switched on without a card", async (t) => {
  const world = await stripeWorld(t);
  await assert.rejects(set(world), { reason: "CARD_MISSING" });
  await world.attach();
  const wrong: readonly (readonly [Partial<AutoTopUpInput>, string, string])[] = [
    [{ amount: { currency: CURRENCY, nanos: 1n } }, "amount", "AMOUNT_INVALID"],
    [{ amount: usd(100_001), dayMax: usd(200_000), monthMax: usd(200_000) }, "amount", "AMOUNT_INVALID"],
    [{ threshold: usd(0) }, "threshold", "INVALID_FIELD"],
    [{ threshold: { currency: "EUR", nanos: units(1) } }, "threshold", "CURRENCY_MISMATCH"],
    [{ dayMax: usd(19) }, "day_max", "INVALID_FIELD"],
    [{ monthMax: usd(59) }, "month_max", "INVALID_FIELD"],
  ];
  for (const [change, field, reason] of wrong) {
    await assert.rejects(set(world, change), (error: unknown) => {
      const told = error as { reason: string; violations: readonly { field: string }[] };
      assert.deepEqual([told.violations[0]?.field, told.reason], [field, reason]);
      return true;
    });
  }
  assert.equal(await settings(world), undefined);
});
