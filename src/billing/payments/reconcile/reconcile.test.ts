import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { CURRENCY, units } from "../../../../test/support/billing.ts";
import { type StripeWorld, stripeWorld } from "../../../../test/support/stripe/world.ts";
import { lastReconciliation, type Reconciliation, reconcile, refundPayment } from "../../index.ts";
import { postTransfer } from "../../ledger/index.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

async function run(world: StripeWorld, days = 3): Promise<Reconciliation> {
  world.f.advance(10 * MINUTE_MS);
  const done = await reconcile(world.f.ctx, world.stripe, { now: world.f.now(), days });
  assert.ok(done);
  assert.equal(
    done.findings.reduce((total, { differenceNanos }) => total + differenceNanos, 0n),
    done.processorNanos - done.ledgerNanos,
    "findings explain every nano of the difference",
  );
  return done;
}
const kinds = ({ findings }: Reconciliation) => findings.map(({ kind, what }) => `${kind} ${what}`).sort();
const asOwner = async (url: string, statement: string) => {
  const owner = new pg.Client({ connectionString: url });
  await owner.connect();
  await owner.query(statement);
  await owner.end();
};

test("books that agree have nothing to explain, and say how much was compared", async (t) => {
  const world = await stripeWorld(t);
  const { f, stripe } = world;
  await world.attach();
  const { processorId: paymentId } = await world.pay({ nanos: units(9) });
  const money = { currency: CURRENCY, nanos: units(2) };
  await refundPayment(f.ctx, stripe, { operatorId: f.userId, paymentId, money, reason: "", key: "k" });
  f.advance(30 * HOUR_MS);
  await world.pay({ nanos: units(5) });
  const done = await run(world);
  assert.deepEqual(done.findings, []);
  assert.deepEqual([done.processorNanos, done.ledgerNanos, done.compared], [units(12), units(12), 3]);
  assert.equal(done.unexplainedNanos, 0n);
  const last = await lastReconciliation(f.ctx, stripe.name);
  assert.deepEqual(last, {
    finishedAt: f.now(),
    openFindings: 0,
    differenceNanos: 0n,
    unexplainedNanos: 0n,
  });
});

test("whatever news was missed is booked by reconciliation, and told as repaired", async (t) => {
  const world = await stripeWorld(t);
  const { fake } = world;
  await world.attach("pm_card_authenticationRequired");
  const card = await world.attach();
  const waiting = await world.pay({ nanos: units(7) });
  fake.books.holder(waiting.processorId, "confirms");
  const refunded = await world.pay({ cardId: card, nanos: units(4) });
  fake.books.refund({ payment_intent: refunded.processorId, amount: "100" });
  const disputed = await world.pay({ cardId: card, nanos: units(3) });
  const dispute = fake.books.dispute(disputed.processorId);
  const done = await run(world);
  assert.deepEqual(kinds(done), ["REPAIRED dispute", "REPAIRED payment", "REPAIRED refund"]);
  assert.equal(await world.total(), units(10));
  fake.books.disputeEnds(dispute.id, "won");
  assert.deepEqual(kinds(await run(world)), ["REPAIRED dispute"]);
  assert.equal(await world.total(), units(13));
  assert.deepEqual(kinds(await run(world)), []);
});

test("a payment of ours that the books have no row of is explained, and what belongs to others is not ours", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake } = world;
  await world.attach();
  await world.pay();
  const customer = fake.books.customer({}).id;
  const card = fake.books.attach("pm_card_visa", { customer }).id;
  const params = { amount: "700", currency: "usd", customer, payment_method: card, confirm: "true" };
  const foreign = fake.books.pay(params);
  fake.books.refund({ payment_intent: foreign.id });
  fake.books.dispute(foreign.id);
  fake.books.pay({ ...params, metadata: { slipway_payment: f.ctx.random.uuid() } });
  const done = await run(world);
  assert.deepEqual(kinds(done), ["NOT_IN_BOOKS payment", "OUTSIDE line", "OUTSIDE line", "OUTSIDE line"]);
  assert.deepEqual(
    done.balances.map(({ unexplainedNanos }) => unexplainedNanos),
    [0n],
    "what others moved is booked apart",
  );
  assert.equal(done.findings[0]?.differenceNanos, units(7));
  assert.equal((await lastReconciliation(f.ctx, world.stripe.name))?.openFindings, 1);
});

test("what was credited without the processor's word, and what moved without a payment, are found", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake } = world;
  await world.attach();
  const { processorId } = await world.pay();
  const other = await world.pay({ nanos: units(6) });
  fake.books.payments.delete(processorId);
  Object.assign(fake.books.payments.get(other.processorId) ?? {}, { amount: 500, amount_received: 500 });
  const done = await run(world);
  assert.deepEqual(kinds(done), ["NOT_AT_PROCESSOR payment", "POSTED_TOO_MUCH payment"]);
  assert.equal(done.unexplainedNanos, 0n);
  const money = { currency: CURRENCY, nanos: units(2) };
  await postTransfer(f.ctx, { key: "by hand", code: "topup.card", ownerId: f.userId, money, at: f.now() });
  assert.equal((await run(world)).unexplainedNanos, units(2));
});

test("a payment at the edge of two days is compared once in all, and refunds under way are no difference", async (t) => {
  const world = await stripeWorld(t);
  const { f, stripe } = world;
  await world.attach("pm_card_pendingRefund");
  const { processorId: paymentId } = await world.pay();
  // The processor's clock was a day ahead.
  const created = Math.floor(f.now().getTime() / 1_000) - 24 * 3_600;
  Object.assign(world.fake.books.payments.get(paymentId) ?? {}, { created });
  await refundPayment(f.ctx, stripe, {
    operatorId: f.userId,
    paymentId,
    money: undefined,
    reason: "",
    key: "k",
  });
  const done = await run(world);
  assert.deepEqual([done.findings, done.compared], [[], 2]);
});

test("the ledger's owner can't make reconciliation forget", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  await world.pay();
  await run(world);
  await asOwner(world.f.url, "update payment_intent set state = 'failed'");
  const done = await run(world);
  assert.equal(done.unexplainedNanos, units(5));
});
