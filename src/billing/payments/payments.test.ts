import assert from "node:assert/strict";
import { test } from "node:test";
import { CURRENCY, credit, type Fixture, fixture, units } from "../../../test/support/billing.ts";
import { StatusError } from "../../base/status.ts";
import {
  attachCard,
  balanceOf,
  configureBilling,
  detachCard,
  grantCredit,
  listCards,
  moneyVerdict,
  type PaymentProcessor,
  resumePayments,
  setDefaultCard,
  testPayments,
  topUp,
} from "../index.ts";

const processor = testPayments();
const attach = (f: Fixture, cardId: string) => attachCard(f.ctx, processor, { userId: f.userId, cardId });
const pay = (f: Fixture, change: { nanos?: bigint; cardId?: string; key?: string; currency?: string } = {}) =>
  topUp(f.ctx, processor, {
    userId: f.userId,
    money: { currency: change.currency ?? CURRENCY, nanos: change.nanos ?? units(5) },
    cardId: change.cardId ?? "",
    key: change.key ?? f.ctx.random.uuid(),
  });
const verdict = (f: Fixture, placeKind: "local" | "cloud" = "local", holdNanos = 0n, currency = CURRENCY) =>
  moneyVerdict(f.ctx, { userId: f.userId, holdNanos, currency, placeKind });
const reasons = (errors: readonly StatusError[]) => errors.map((error) => error.reason);

test("the first card is the default, and the next takes over when it goes", async (t) => {
  const f = await fixture(t);
  for (const cardId of ["pm_card_visa", "pm_card_amex", "pm_card_visa"]) await attach(f, cardId);
  const cards = async () =>
    (await listCards(f.ctx, f.userId)).map((card) => `${card.last4}${card.isDefault ? "*" : ""}`);
  assert.deepEqual(await cards(), ["4242*", "8431"]);
  await setDefaultCard(f.ctx, processor, { userId: f.userId, cardId: "pm_card_amex" });
  assert.deepEqual(await cards(), ["8431*", "4242"]);
  await detachCard(f.ctx, processor, { userId: f.userId, cardId: "pm_card_amex" });
  assert.deepEqual(await cards(), ["4242*"]);
  const gone = { userId: f.userId, cardId: "pm_card_amex" };
  await assert.rejects(detachCard(f.ctx, processor, gone), { reason: "PAYMENT_METHOD_UNKNOWN" });
  await assert.rejects(setDefaultCard(f.ctx, processor, gone), { reason: "PAYMENT_METHOD_UNKNOWN" });
  await assert.rejects(attach(f, "pm_card_nobody"), { reason: "PAYMENT_METHOD_UNKNOWN" });
});

test("a top-up takes money once for its key", async (t) => {
  const f = await fixture(t);
  await attach(f, "pm_card_visa");
  const first = await pay(f, { key: "k" });
  assert.deepEqual(await pay(f, { key: "k" }), first);
  await assert.rejects(pay(f, { key: "k", nanos: units(6) }), { reason: "IDEMPOTENCY_KEY_REUSED" });
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(5));
});

test("each card's fate has its own reason, and moves nothing", async (t) => {
  const f = await fixture(t);
  await assert.rejects(pay(f), { reason: "CARD_MISSING" });
  const fates = {
    pm_card_visa_chargeDeclined: "CARD_DECLINED",
    pm_card_chargeDeclined: "CARD_DECLINED",
    pm_card_chargeDeclinedInsufficientFunds: "CARD_DECLINED",
    pm_card_chargeDeclinedExpiredCard: "CARD_DECLINED",
    pm_card_authenticationRequired: "CARD_NEEDS_ACTION",
    pm_card_slipwayExpired: "CARD_EXPIRED",
  };
  for (const [cardId, reason] of Object.entries(fates)) {
    await attach(f, cardId);
    await assert.rejects(pay(f, { cardId }), { reason, code: "FAILED_PRECONDITION" }, cardId);
  }
  await assert.rejects(pay(f, { cardId: "pm_card_visa" }), { reason: "PAYMENT_METHOD_UNKNOWN" });
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, 0n);
});

test("a declined payment tells the cardholder why", async (t) => {
  const f = await fixture(t);
  await attach(f, "pm_card_chargeDeclinedInsufficientFunds");
  await assert.rejects(pay(f), { message: /doesn't have enough money/ });
});

test("an amount must be whole coins of the installation's currency, within bounds", async (t) => {
  const f = await fixture(t);
  await attach(f, "pm_card_visa");
  for (const nanos of [0n, units(5) + 1n, units(100_001)]) {
    await assert.rejects(pay(f, { nanos }), { reason: "AMOUNT_INVALID" });
  }
  await assert.rejects(pay(f, { currency: "EUR" }), { reason: "CURRENCY_MISMATCH" });
});

test("a payment whose answer got lost is driven on under its own key, and posted once", async (t) => {
  const f = await fixture(t);
  await attach(f, "pm_card_visa");
  const keys: string[] = [];
  let lost = true;
  const flaky: PaymentProcessor = {
    ...processor,
    pay: async (ctx, input) => {
      keys.push(input.key);
      const payment = await processor.pay(ctx, input);
      if (lost) throw new StatusError({ code: "UNAVAILABLE", reason: "UNAVAILABLE", message: "lost" });
      return payment;
    },
  };
  const money = { currency: CURRENCY, nanos: units(5) };
  const input = { userId: f.userId, money, cardId: "", key: "k" };
  await assert.rejects(topUp(f.ctx, flaky, input), { reason: "UNAVAILABLE" });
  lost = false;
  assert.equal(await resumePayments(f.ctx, flaky, { now: f.now() }), 0);
  f.advance(61_000);
  assert.equal(await resumePayments(f.ctx, flaky, { now: f.now() }), 1);
  assert.equal(await resumePayments(f.ctx, flaky, { now: f.now() }), 0);
  await topUp(f.ctx, flaky, input);
  assert.equal(new Set(keys).size, 1);
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(5));
});

test("the verdict tells all that speaks against it", async (t) => {
  const f = await fixture(t);
  assert.deepEqual(reasons((await verdict(f, "cloud", units(1))).errors), [
    "BALANCE_TOO_LOW",
    "CARD_MISSING",
    "TEST_MONEY_REFUSED",
  ]);
  await credit(f, units(2));
  await attach(f, "pm_card_slipwayExpired");
  const expired = await verdict(f, "local", units(1));
  assert.deepEqual([expired.ok, expired.card, reasons(expired.errors)], [false, "expired", ["CARD_EXPIRED"]]);
  await attach(f, "pm_card_visa");
  const good = await verdict(f, "local", units(2));
  assert.deepEqual([good.ok, good.card, good.errors], [true, "ok", []]);
  assert.deepEqual(reasons((await verdict(f, "local", 1n, "EUR")).errors), ["CURRENCY_MISMATCH"]);
});

test("test money never pays for a cloud, not even after the installation stopped taking it", async (t) => {
  const f = await fixture(t);
  await attach(f, "pm_card_visa");
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "off" });
  assert.equal((await verdict(f, "cloud")).ok, true);
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "test" });
  await pay(f);
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "off" });
  assert.deepEqual(reasons((await verdict(f, "cloud")).errors), ["TEST_MONEY_REFUSED"]);
});

test("credit that was given while test money was taken stays test money", async (t) => {
  const f = await fixture(t);
  await credit(f, units(1));
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "off" });
  assert.deepEqual(reasons((await verdict(f, "cloud")).errors), ["TEST_MONEY_REFUSED"]);
});

test("where no payments are taken no card is asked for", async (t) => {
  const f = await fixture(t);
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "off" });
  assert.equal((await verdict(f)).card, "ok");
});

test("the currency stays once there is money", async (t) => {
  const f = await fixture(t);
  await configureBilling(f.ctx, { currency: "EUR", payments: "test" });
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "test" });
  await credit(f, units(1));
  await assert.rejects(configureBilling(f.ctx, { currency: "EUR", payments: "test" }), {
    reason: "CONFIG_INVALID",
  });
});

test("credit is given once for its key, to users that exist, in the installation's currency", async (t) => {
  const f = await fixture(t);
  const grant = (change: object = {}) =>
    grantCredit(f.ctx, {
      operatorId: f.userId,
      userId: f.userId,
      amount: { currency: CURRENCY, nanos: units(1) },
      reason: "welcome",
      key: "k",
      ...change,
    });
  assert.deepEqual(await grant(), await grant());
  await assert.rejects(grant({ amount: { currency: CURRENCY, nanos: 1n } }), {
    reason: "IDEMPOTENCY_KEY_REUSED",
  });
  await assert.rejects(grant({ key: "b", amount: { currency: "EUR", nanos: 1n } }), {
    reason: "CURRENCY_MISMATCH",
  });
  await assert.rejects(grant({ key: "c", userId: f.ctx.random.uuid() }), { reason: "USER_NOT_FOUND" });
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(1));
});
