import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import { units } from "../../../../test/support/billing.ts";
import { signed } from "../../../../test/support/stripe/books.ts";
import { type StripeWorld, stripeWorld, WEBHOOK_SECRET } from "../../../../test/support/stripe/world.ts";
import { auditLedger, hearEvent, listCards, pollEvents, resumePayments } from "../../index.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const poll = ({ f, stripe }: StripeWorld) => pollEvents(f.ctx, stripe, { now: f.now() });

/** A payment whose cardholder has confirmed it, and of which we have heard nothing. */
async function confirmed(world: StripeWorld): Promise<string> {
  await world.attach("pm_card_authenticationRequired");
  const { processorId } = await world.pay();
  world.fake.books.holder(processorId, "confirms");
  return processorId;
}

test("a delivered event credits a payment once, however often and by whatever way it is heard", async (t) => {
  const world = await stripeWorld(t, { connectionsMax: 8 });
  await confirmed(world);
  const event = world.newest("payment_intent.succeeded");
  await Promise.all(Array.from({ length: 6 }, () => world.hear(event)));
  await world.hear(event);
  await poll(world);
  assert.equal(await world.total(), units(5));
  const { rows } = await sql<{ n: bigint }>`
    select count(*) as n from payment_event where event_id = ${event.id}`.execute(world.f.ctx.db);
  assert.equal(rows[0]?.n, 1n);
});

test("forged, altered, old and unsigned deliveries change nothing", async (t) => {
  const world = await stripeWorld(t);
  const { f, stripe } = world;
  await confirmed(world);
  const event = world.newest("payment_intent.succeeded");
  const refused = { reason: "WEBHOOK_REFUSED", code: "INVALID_ARGUMENT" };
  await assert.rejects(world.hear(event, "whsec_somebodyElse"), refused);
  await assert.rejects(
    world.hear(event, WEBHOOK_SECRET, new Date(f.now().getTime() - 6 * MINUTE_MS)),
    refused,
  );
  const { body, signature } = signed(event, WEBHOOK_SECRET, f.now());
  const altered = Buffer.from(body.replace("500", "900"));
  await assert.rejects(hearEvent(f.ctx, stripe, { body: altered, signature }), refused);
  for (const wrong of ["", "t=1", "v1=00", "t=x,v1=y", signature.replace("v1=", "v0=")]) {
    await assert.rejects(
      hearEvent(f.ctx, stripe, { body: Buffer.from(body), signature: wrong }),
      refused,
      wrong,
    );
  }
  await assert.rejects(hearEvent(f.ctx, stripe, { body: Buffer.alloc(0), signature }), refused);
  assert.equal(await world.total(), 0n);
});

test("an event that was never delivered is found in the list", async (t) => {
  const world = await stripeWorld(t);
  await confirmed(world);
  assert.ok((await poll(world)) > 0);
  assert.equal(await world.total(), units(5));
  assert.equal(await poll(world), 0);
});

test("an outage of days is caught up with, span by span", async (t) => {
  const world = await stripeWorld(t);
  await poll(world);
  await confirmed(world);
  world.f.advance(50 * HOUR_MS);
  while (await poll(world)) {}
  await poll(world);
  assert.equal(await world.total(), units(5));
});

test("an event that can't be applied stays in the list's way of nothing else, and is applied later", async (t) => {
  const world = await stripeWorld(t);
  await confirmed(world);
  world.fake.faults.push({ match: "GET /v1/payment_intents/", when: "before", how: "500", times: 20 });
  await poll(world);
  assert.equal(await world.total(), 0n);
  assert.equal((await listCards(world.f.ctx, world.f.userId)).length, 1);
  world.fake.faults.length = 0;
  world.f.advance(MINUTE_MS);
  await poll(world);
  assert.equal(await world.total(), units(5));
});

test("an event that never can be applied stops nothing that comes after it, and is tried for a day", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake } = world;
  await world.attach("pm_card_authenticationRequired");
  const stuck = await world.pay();
  fake.books.holder(stuck.processorId, "confirms");
  const fault = {
    match: `GET /v1/payment_intents/${stuck.processorId}`,
    when: "before",
    how: "500",
  } as const;
  fake.faults.push({ ...fault, times: 1_000 });
  await poll(world);
  f.advance(3 * HOUR_MS);
  const later = await world.pay({ nanos: units(3) });
  fake.books.holder(later.processorId, "confirms");
  await poll(world);
  assert.equal(await world.total(), units(3));
  f.advance(25 * HOUR_MS);
  await poll(world);
  const asked = fake.calls.length;
  await poll(world);
  assert.ok(fake.calls.slice(asked).every(({ what }) => !what.includes(stuck.processorId)));
});

test("a delivery fails while the processor can't be asked, so that it comes again", async (t) => {
  const world = await stripeWorld(t);
  await confirmed(world);
  const event = world.newest("payment_intent.succeeded");
  world.fake.faults.push({ match: "GET /v1/payment_intents/", when: "before", how: "500" });
  await assert.rejects(world.hear(event), { reason: "UNAVAILABLE" });
  await world.hear(event);
  assert.equal(await world.total(), units(5));
});

test("old news does not undo new: a success stays, in whatever order events come", async (t) => {
  const world = await stripeWorld(t);
  await confirmed(world);
  await world.hear(world.newest("payment_intent.succeeded"));
  await world.hear(world.newest("payment_intent.requires_action"));
  const { rows } = await sql<{ state: string }>`select state from payment_intent`.execute(world.f.ctx.db);
  assert.deepEqual(rows, [{ state: "succeeded" }]);
  assert.equal(await world.total(), units(5));
});

test("a card that a browser put on file is on file, and one that was removed at the processor is not", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake } = world;
  await world.attach();
  const [customer] = fake.books.customers.keys();
  const card = fake.books.attach("pm_card_amex", { customer: customer ?? "" });
  const attached = world.newest("payment_method.attached");
  await world.hear(attached);
  const ids = async () => (await listCards(f.ctx, f.userId)).map(({ cardId }) => cardId);
  assert.ok((await ids()).includes(card.id));
  fake.books.detach(card.id);
  await world.hear(world.newest("payment_method.detached"));
  assert.ok(!(await ids()).includes(card.id));
  // The attachment again, as a second event: late news of a card that is gone.
  await world.hear({ ...attached, id: "evt_late" });
  assert.ok(!(await ids()).includes(card.id));
});

test("events of payments, cards and things that are not ours are taken and change nothing", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake } = world;
  const stranger = fake.books.customer({}).id;
  const card = fake.books.attach("pm_card_visa", { customer: stranger }).id;
  const params = {
    amount: "700",
    currency: "usd",
    customer: stranger,
    payment_method: card,
    confirm: "true",
  };
  fake.books.pay(params);
  // Somebody with the account's key names a payment as ours would be named.
  fake.books.pay({ ...params, metadata: { slipway_payment: f.ctx.random.uuid() } });
  for (const event of fake.books.events) await world.hear(event);
  const odd = world.newest("payment_intent.succeeded");
  await world.hear({ ...odd, id: "evt_odd", type: "account.updated", data: { object: { id: "acct_1" } } });
  assert.equal(await world.total(), 0n);
  assert.deepEqual(await listCards(f.ctx, f.userId), []);
});

test("whatever is lost, late, repeated or out of order, what is credited is what cards paid", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake } = world;
  for (const card of ["pm_card_visa", "pm_card_authenticationRequired", "pm_card_chargeCustomerFail"]) {
    await world.attach(card);
  }
  const cards = await listCards(f.ctx, f.userId);
  const step = fc.oneof(
    fc.record({ do: fc.constant("pay" as const), card: fc.nat(2), fault: fc.nat(4) }),
    fc.record({ do: fc.constant("hear" as const), which: fc.nat(60) }),
    fc.record({ do: fc.constant("holder" as const), confirms: fc.boolean() }),
    fc.record({ do: fc.constantFrom("poll" as const, "resume" as const) }),
  );
  const faults = ["before", "after"] as const;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 14 }), async (steps) => {
      for (const one of steps) {
        f.advance(20 * MINUTE_MS);
        if (one.do === "pay") {
          const when = faults[one.fault];
          if (when) fake.faults.push({ match: "POST /v1/payment_intents", when, how: "drop", times: 2 });
          await world.pay({ cardId: cards[one.card]?.cardId ?? "" }).catch(() => undefined);
          fake.faults.length = 0;
        } else if (one.do === "hear") {
          const event = fake.books.events[one.which % fake.books.events.length];
          if (event) await world.hear(event);
        } else if (one.do === "holder") {
          const waiting = [...fake.books.payments.values()].find(
            ({ status }) => status === "requires_action",
          );
          if (waiting) fake.books.holder(waiting.id, one.confirms ? "confirms" : "refuses");
        } else if (one.do === "poll") await poll(world);
        else await resumePayments(f.ctx, world.stripe, { now: f.now() });
      }
      f.advance(20 * MINUTE_MS);
      await resumePayments(f.ctx, world.stripe, { now: f.now() });
      await poll(world);
      assert.equal(await world.total(), BigInt(fake.books.succeeded()) * 10_000_000n);
      assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
    }),
    { numRuns: 12, endOnFailure: true },
  );
});
