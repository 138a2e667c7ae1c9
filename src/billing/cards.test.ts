/** Cards over REST: which one comes first, taking one off the file, and the processor's id in the profile. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ANYTHING_BUDGETED } from "../../test/support/billing.ts";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { type Json, type Person, people, restEdge } from "../../test/support/rest-edge.ts";
import { identityRoutes } from "../identity/index.ts";
import * as edge from "../rpc/index.ts";
import { billingRoutes, configureBilling, customerIdsOf, testPayments } from "./index.ts";

const START = new Date("2026-03-01T10:00:00Z");
const CARDS = "/v1/billing/stripe/customers/payment-methods";
const UNKNOWN = [400, "PAYMENT_METHOD_UNKNOWN"];

async function setup(t: Cleanup, payments: "test" | "off" = "test") {
  const { ctx, person } = await people(t, START);
  await configureBilling(ctx, { currency: "USD", payments });
  const { db } = ctx;
  const { call } = restEdge(t, ctx, [
    billingRoutes({
      db,
      edge,
      budgeted: ANYTHING_BUDGETED,
      payments: payments === "test" ? testPayments() : undefined,
    }),
    identityRoutes({ db, edge, customerIds: customerIdsOf }),
  ]);
  const [ada, eve, root] = [await person("Ada"), await person("Eve"), await person("Root", "ADMIN")];
  const attach = (who: Person, ...ids: string[]) =>
    Promise.all(ids.map((stripePaymentMethodId) => call(who, "POST", CARDS, { stripePaymentMethodId })));
  /** The ids on file, the default one with a star. */
  const cards = async (who: Person) => {
    const { paymentMethods } = (await call(who, "GET", CARDS)).body;
    return ((paymentMethods ?? []) as unknown as Json[]).map(
      (card) => `${card.stripePaymentMethodId}${card.isDefault ? "*" : ""}`,
    );
  };
  return { call, ada, eve, root, attach, cards };
}

test("a user chooses the default card and takes cards off the file", async (t) => {
  const { call, ada, attach, cards } = await setup(t);
  await attach(ada, "pm_card_visa");
  await attach(ada, "pm_card_amex");
  const chosen = await call(ada, "POST", `${CARDS}/pm_card_amex:setDefault`, {});
  assert.deepEqual([chosen.status, chosen.body], [200, { empty: {} }]);
  assert.deepEqual(await cards(ada), ["pm_card_amex*", "pm_card_visa"]);
  const removed = await call(ada, "DELETE", `${CARDS}/pm_card_amex`);
  assert.deepEqual([removed.status, removed.body], [200, { empty: {} }]);
  assert.deepEqual(await cards(ada), ["pm_card_visa*"], "another one takes over");
  for (const gone of [
    await call(ada, "DELETE", `${CARDS}/pm_card_amex`),
    await call(ada, "POST", `${CARDS}/pm_card_amex:setDefault`, {}),
  ]) {
    assert.deepEqual([gone.status, gone.reason], UNKNOWN);
  }
});

test("cards are changed by their user and by administrators, and by nobody else", async (t) => {
  const { call, ada, eve, root, attach, cards } = await setup(t);
  await attach(ada, "pm_card_visa");
  await attach(ada, "pm_card_amex");
  for (const refused of [
    await call(eve, "DELETE", `${CARDS}/pm_card_visa?userId=${ada.id}`),
    await call(eve, "POST", `${CARDS}/pm_card_amex:setDefault`, { userId: ada.id }),
  ]) {
    assert.deepEqual([refused.status, refused.reason], [403, "NOT_ALLOWED"]);
  }
  const own = await call(eve, "DELETE", `${CARDS}/pm_card_visa`);
  assert.deepEqual([own.status, own.reason], UNKNOWN, "another's card by its id alone");
  assert.deepEqual(await cards(ada), ["pm_card_visa*", "pm_card_amex"]);
  assert.equal((await call(root, "DELETE", `${CARDS}/pm_card_visa?userId=${ada.id}`)).status, 200);
  assert.deepEqual(await cards(ada), ["pm_card_amex*"]);
});

test("an installation without payments has no cards to change", async (t) => {
  const { call, ada } = await setup(t, "off");
  const refused = await call(ada, "DELETE", `${CARDS}/pm_card_visa`);
  assert.deepEqual([refused.status, refused.reason], [501, "NOT_IMPLEMENTED"]);
});

test("the profile tells what the processor calls the user, once it does", async (t) => {
  const { call, ada, eve, root, attach } = await setup(t);
  const profile = async (who: Person) => (await call(who, "GET", "/auth/profile")).body.user?.stripeCusId;
  assert.equal(await profile(ada), "");
  await attach(ada, "pm_card_visa");
  const { stripeCusId } = (await call(ada, "GET", "/v1/billing/stripe/customers")).body;
  assert.match(String(stripeCusId), /^cus_/);
  assert.equal(await profile(ada), stripeCusId);
  assert.equal((await call(ada, "GET", `/v1/users/${ada.id}`)).body.user?.stripeCusId, stripeCusId);
  assert.equal(await profile(eve), "");
  const { users } = (await call(root, "GET", "/v1/admin/users")).body;
  for (const user of (users ?? []) as unknown as Json[])
    assert.equal(user.stripeCusId, String(user.id) === ada.id ? stripeCusId : "");
});
