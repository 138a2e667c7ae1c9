/** Cards by Stripe as an operator sets them up: the program, a stand-in for Stripe beside it, webhooks over HTTP. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { at, type Json, must, text } from "../../src/main/quickstart/wire.ts";
import { type TestInstallation, testInstallation } from "../support/installation.ts";
import { command } from "../support/program.ts";
import { fakeProcess } from "../support/stripe/fake-process.ts";
import { SECRET_KEY, WEBHOOK_SECRET } from "../support/stripe/world.ts";

const WEBHOOK_TIMEOUT_MS = 30_000;

const balanceOf = async (on: TestInstallation): Promise<number> => {
  const answer = await on.wire({ method: "GET", path: "/v1/billing/balance", token: on.people.userToken });
  return Number(text(at(answer, "balance", "units")));
};
const topUp = (on: TestInstallation, units: number, card: string) =>
  on.wire({
    method: "POST",
    path: "/v1/billing/stripe/payment-intents",
    token: on.people.userToken,
    body: { amount: { currencyCode: "USD", units: String(units) }, stripePaymentMethodId: card },
  });
const cardsOf = async (on: TestInstallation): Promise<string[]> => {
  const path = "/v1/billing/stripe/customers/payment-methods";
  const answer = await on.wire({ method: "GET", path, token: on.people.userToken });
  return (at(answer, "stripePaymentMethodIds") as readonly Json[]).map(text);
};

test("a card is put on file, pays, is confirmed by its holder, and what Stripe tells is in the balance", async (t) => {
  const stripe = await fakeProcess(t);
  const on = await testInstallation(t, {
    SLIPWAY_PAYMENTS: "stripe",
    SLIPWAY_STRIPE_SECRET_KEY: SECRET_KEY,
    SLIPWAY_STRIPE_WEBHOOK_SECRET: WEBHOOK_SECRET,
    SLIPWAY_STRIPE_URL: stripe.url,
  });
  const token = on.people.userToken;
  await stripe.does("webhook", { url: `${on.apiUrl()}/webhooks/stripe`, secret: WEBHOOK_SECRET });
  const setup = await on.wire({ method: "POST", path: "/v1/billing/stripe/setup-intents", token, body: {} });
  assert.match(must(setup, "clientSecret"), /^seti_\w+_secret_/);
  const before = await cardsOf(on);
  const body = { stripePaymentMethodId: "pm_card_authenticationRequired" };
  await on.wire({ method: "POST", path: "/v1/billing/stripe/customers/payment-methods", token, body });
  const card = (await cardsOf(on)).find((id) => !before.includes(id)) ?? "";
  const had = await balanceOf(on);
  const waiting = await topUp(on, 7, card);
  assert.equal(must(waiting, "status"), "TRANSACTION_STATUS_REQUIRES_ACTION");
  assert.match(must(waiting, "nextStep"), /confirm/);
  assert.equal(await balanceOf(on), had);
  await stripe.does("holder", { id: must(waiting, "stripePaymentIntentId") });
  const deadline = performance.now() + WEBHOOK_TIMEOUT_MS;
  while ((await balanceOf(on)) === had && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(await balanceOf(on), had + 7);
  const reconciled = await command(t, ["admin", "billing", "reconcile", "--days", "1"], on.env);
  assert.equal(reconciled.status, 0, reconciled.output);
  assert.match(reconciled.output, /unexplained +0\.00 USD/);
});

test("a delivery without Stripe's signature is refused over HTTP, and needs no token to be", async (t) => {
  const stripe = await fakeProcess(t);
  const on = await testInstallation(t, {
    SLIPWAY_PAYMENTS: "stripe",
    SLIPWAY_STRIPE_SECRET_KEY: SECRET_KEY,
    SLIPWAY_STRIPE_WEBHOOK_SECRET: WEBHOOK_SECRET,
    SLIPWAY_STRIPE_URL: stripe.url,
  });
  const answer = await fetch(`${on.apiUrl()}/webhooks/stripe`, {
    method: "POST",
    headers: { "content-type": "application/json", "stripe-signature": "t=1,v1=00" },
    body: '{"id":"evt_1","type":"payment_intent.succeeded"}',
  });
  assert.equal(answer.status, 400);
  assert.equal(text(at((await answer.json()) as Json, "details", 0, "reason")), "WEBHOOK_REFUSED");
  assert.ok(!on.program().output().includes(SECRET_KEY));
});
