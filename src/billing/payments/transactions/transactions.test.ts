import assert from "node:assert/strict";
import { test } from "node:test";
import { CURRENCY, units } from "../../../../test/support/billing.ts";
import { type StripeWorld, stripeWorld } from "../../../../test/support/stripe/world.ts";
import {
  bookProcessorLines,
  checkBooks,
  type Reconciliation,
  reconcile,
  refundPayment,
  sealTransfers,
} from "../../index.ts";
import { type AccountKind, sumOfKind } from "../../ledger/index.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 3_600_000;
const cents = (count: number) => BigInt(count) * 10_000_000n;

/** A day on: everything of the processor's is in the books, and they are in order. */
async function settled(world: StripeWorld): Promise<Reconciliation> {
  const { f, stripe } = world;
  f.advance(10 * MINUTE_MS);
  const done = await reconcile(f.ctx, stripe, { now: f.now(), days: 3 });
  assert.ok(done);
  await sealTransfers(f.ctx);
  assert.deepEqual((await checkBooks(f.ctx, { now: f.now() })).findings, []);
  return done;
}

/** What an account of the installation has, as an asset or a cost: the ledger's sign turned. */
const has = async ({ f }: StripeWorld, kind: AccountKind, currency = CURRENCY) =>
  -(await sumOfKind(f.ctx, kind, currency));

/** The ledger has at the processor what the processor says that it has, and nothing is left to explain. */
async function assertSame(world: StripeWorld, done: Reconciliation): Promise<void> {
  for (const line of done.balances) {
    const { currency, processorNanos, ledgerNanos, waitingNanos, unexplainedNanos } = line;
    assert.deepEqual([ledgerNanos, waitingNanos, unexplainedNanos], [processorNanos, 0n, 0n], currency);
    assert.equal(await has(world, "processor.clearing", currency), processorNanos);
  }
  assert.equal(done.unexplainedNanos, 0n);
}

const refund = ({ f, stripe }: StripeWorld, paymentId: string, nanos: bigint) =>
  refundPayment(f.ctx, stripe, {
    operatorId: f.userId,
    paymentId,
    money: { currency: CURRENCY, nanos },
    reason: "",
    key: f.ctx.random.uuid(),
  });

test("fees, refunds, disputes and payouts follow into the ledger, so that it has at the processor what the processor has", async (t) => {
  const world = await stripeWorld(t);
  const { fake } = world;
  await world.attach();
  const first = await world.pay({ nanos: units(100) });
  const second = await world.pay({ nanos: units(50) });
  await refund(world, first.processorId, units(20));
  const dispute = fake.books.dispute(second.processorId);
  await world.hear(world.newest("charge.dispute.created"));
  fake.books.payout(3_000);
  fake.books.takes("stripeFee", 200);
  const done = await settled(world);
  await assertSame(world, done);
  // 2.9 % and 30 cents of each payment, 15 for the dispute, 2 apart.
  const fees = cents(290 + 30 + 145 + 30 + 1_500 + 200);
  assert.equal(await has(world, "processor.fees"), fees);
  assert.equal(await has(world, "bank"), units(30));
  assert.equal(await has(world, "refunds"), 0n, "the refund left the processor");
  assert.equal(await has(world, "processor.clearing"), units(100 - 20 - 30) - fees);
  assert.deepEqual(
    done.findings.filter(({ kind }) => kind !== "REPAIRED"),
    [],
  );
  fake.books.disputeEnds(dispute.id, "won");
  await world.hear(world.newest("charge.dispute.closed"));
  const after = await settled(world);
  await assertSame(world, after);
  assert.equal(await has(world, "processor.clearing"), units(150 - 20 - 30) - fees, "the fee stays");
});

test("a payout that fails comes back into the balance, by the event and by the list, once", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake, stripe } = world;
  await world.attach();
  await world.pay({ nanos: units(100) });
  await bookProcessorLines(f.ctx, stripe, { now: f.now() });
  const failing = fake.books.payout(4_000);
  await world.hear(world.newest("payout.created"));
  assert.equal(await has(world, "bank"), units(40), "the event alone books it");
  fake.books.payoutEnds(failing.id, "paid");
  await world.hear(world.newest("payout.paid"));
  fake.books.payoutEnds(failing.id, "failed");
  await world.hear(world.newest("payout.failed"));
  await world.hear(world.newest("payout.failed"));
  assert.equal(await has(world, "bank"), 0n);
  const cancelled = fake.books.payout(1_000);
  fake.books.payoutEnds(cancelled.id, "canceled");
  for (let pass = 0; pass < 2; pass++) await bookProcessorLines(f.ctx, stripe, { now: f.now() });
  await assertSame(world, await settled(world));
  assert.equal(await has(world, "bank"), 0n);
});

test("a refund that the bank could not hand out is back at the processor, in the ledger as there", async (t) => {
  const world = await stripeWorld(t);
  const { fake } = world;
  await world.attach();
  const { processorId } = await world.pay({ nanos: units(10) });
  await refund(world, processorId, units(4));
  await assertSame(world, await settled(world));
  const [made] = fake.books.refunds.values();
  fake.books.refundEnds(made?.id ?? "", "failed");
  await world.hear(world.newest("refund.failed"));
  assert.equal(await world.total(), units(10));
  await assertSame(world, await settled(world));
  assert.equal(await has(world, "refunds"), 0n);
});

test("a balance that is kept in another currency is booked on both sides, each in its own", async (t) => {
  const world = await stripeWorld(t);
  const { fake } = world;
  fake.books.settlement = { currency: "eur", rate: 0.9 };
  await world.attach();
  const { processorId } = await world.pay({ nanos: units(100) });
  await refund(world, processorId, units(10));
  fake.books.payout(5_000, "eur");
  const done = await settled(world);
  await assertSame(world, done);
  assert.deepEqual(
    done.balances.map(({ currency, processorNanos }) => [currency, processorNanos]),
    [
      ["EUR", cents(9_000 - 261 - 30 - 900 - 5_000)],
      [CURRENCY, 0n],
    ],
  );
  assert.equal(await has(world, "exchange", CURRENCY), units(90), "what was paid in one currency");
  assert.equal(await has(world, "exchange", "EUR"), -units(81), "became so much of the other");
  assert.equal(await has(world, "processor.fees", "EUR"), cents(261 + 30));
  assert.equal(await has(world, "processor.fees", CURRENCY), 0n);
});

test("what was there before the first payment, and what these books have no word for, is booked apart and named", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake, stripe } = world;
  fake.books.takes("stripeFee", -70_000);
  f.advance(DAY_MS);
  await world.attach();
  await world.pay({ nanos: units(10) });
  fake.books.takes("reserve", 100);
  const done = await settled(world);
  await assertSame(world, done);
  assert.deepEqual(
    done.findings.map(({ kind, id }) => `${kind} ${id}`),
    ["OUTSIDE opening USD", "OUTSIDE reserve_transaction USD"],
  );
  assert.equal(await has(world, "processor.unassigned"), cents(100) - units(700));
  // Read again in later passes, what was before stays one line.
  f.advance(3 * DAY_MS);
  await bookProcessorLines(f.ctx, stripe, { now: f.now() });
  await assertSame(world, await settled(world));
});

test("a line that was listed late is booked by reconciliation; a payment that is not in the balance is on its way for a day, then unexplained", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake, stripe } = world;
  await world.attach();
  await world.pay({ nanos: units(10) });
  const [line] = fake.books.lines.values();
  fake.books.lines.clear();
  const waiting = await settled(world);
  assert.deepEqual(
    waiting.findings.map(({ kind, what }) => `${kind} ${what}`),
    ["NOT_SETTLED payment"],
  );
  assert.deepEqual(
    waiting.balances.map(({ waitingNanos, unexplainedNanos }) => [waitingNanos, unexplainedNanos]),
    [[units(10), 0n]],
  );
  f.advance(DAY_MS);
  assert.equal((await settled(world)).balances[0]?.unexplainedNanos, units(10));
  assert.ok(line);
  fake.books.lines.set(line.id, line);
  assert.equal(await bookProcessorLines(f.ctx, stripe, { now: f.now() }), 0, "polling has passed it");
  const done = await settled(world);
  assert.deepEqual(
    done.findings.map(({ kind, what, id }) => `${kind} ${what} ${id}`),
    [`REPAIRED line ${line.id}`],
  );
  await assertSame(world, done);
});

test("where the processor does not show its balance, reconciliation says so and compares the rest", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  await world.pay();
  world.fake.faults.push({ match: "GET /v1/balance", when: "before", how: "401", times: 9 });
  const done = await settled(world);
  assert.deepEqual(
    done.findings.map(({ kind }) => kind),
    ["NOT_ASKED"],
  );
  assert.deepEqual([done.balances, done.compared], [[], 1]);
});
