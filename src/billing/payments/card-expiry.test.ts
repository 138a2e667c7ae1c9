import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { fixture } from "../../../test/support/billing.ts";
import { attachCard, configureBilling, type News, tellNews, testPayments, warnOfExpiry } from "../index.ts";
import { expiryOf } from "./card-expiry.ts";

test("a card is valid through the last day of its month, leap days included, and ends soon for thirty days before", () => {
  const on = (at: string, expMonth: number, expYear: number) => expiryOf({ expMonth, expYear }, new Date(at));
  assert.equal(on("2028-02-29T23:59:59.999Z", 2, 2028), "EXPIRING");
  assert.equal(on("2028-03-01T00:00:00.000Z", 2, 2028), "EXPIRED");
  assert.equal(on("2027-12-31T23:59:59.999Z", 12, 2027), "EXPIRING");
  assert.equal(on("2028-01-01T00:00:00.000Z", 12, 2027), "EXPIRED");
  assert.equal(on("2028-01-31T00:00:00.000Z", 2, 2028), "EXPIRING");
  assert.equal(on("2028-01-30T23:59:59.999Z", 2, 2028), "VALID");
});

test("a card's end is told thirty days ahead and when it comes, once each, and anew for another date", async (t) => {
  const f = await fixture(t);
  await configureBilling(f.ctx, { currency: "USD", payments: "test" });
  await attachCard(f.ctx, testPayments(), { userId: f.userId, cardId: "pm_card_visa" });
  const ends = (expMonth: number, expYear: number) =>
    sql`update payment_card set exp_month = ${expMonth}, exp_year = ${expYear}`.execute(f.ctx.db);
  const told = async (at: string) => {
    const news: News[] = [];
    await warnOfExpiry(f.ctx, { now: new Date(at) });
    await tellNews(f.ctx, async (_tx, one) => void news.push(one));
    return news.map((one) =>
      "card" in one ? `${one.kind} ${one.card.last4} ${one.card.isDefault}` : one.kind,
    );
  };
  await ends(2, 2028);
  assert.deepEqual(await told("2028-01-30T23:59:59.999Z"), []);
  assert.deepEqual(await told("2028-01-31T00:00:00.000Z"), ["CARD_EXPIRING 4242 true"]);
  assert.deepEqual(await told("2028-02-29T23:59:59.999Z"), []);
  assert.deepEqual(await told("2028-03-01T00:00:00.000Z"), ["CARD_EXPIRED 4242 true"]);
  assert.deepEqual(await told("2028-04-01T00:00:00.000Z"), []);
  // The bank's new card under the same id: the processor tells another date.
  await attachCard(f.ctx, testPayments(), { userId: f.userId, cardId: "pm_card_visa" });
  await ends(4, 2028);
  assert.deepEqual(await told("2028-04-02T00:00:00.000Z"), ["CARD_EXPIRING 4242 true"]);
});
