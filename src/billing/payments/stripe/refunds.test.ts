import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CURRENCY, credit, units } from "../../../../test/support/billing.ts";
import { type StripeWorld, stripeWorld } from "../../../../test/support/stripe/world.ts";
import { withTransaction } from "../../../db/db.ts";
import {
  auditLedger,
  balanceOf,
  moneyVerdict,
  pollEvents,
  refundPayment,
  resumeRefunds,
} from "../../index.ts";
import { placeHold, postTransfer } from "../../ledger/index.ts";
import { debtOf, settleDebt } from "../debt.ts";
import { takeMoney } from "../take-money.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const usd = (nanos: bigint) => ({ currency: CURRENCY, nanos });

/** A user whose card has paid. */
async function paidWorld(
  t: Parameters<typeof stripeWorld>[0],
  nanos = units(10),
  card = "pm_card_visa",
): Promise<StripeWorld & { paymentId: string }> {
  const world = await stripeWorld(t, { connectionsMax: 6 });
  await world.attach(card);
  const { processorId: paymentId } = await world.pay({ nanos });
  return { ...world, paymentId };
}
const refund = (
  { f, stripe, paymentId }: StripeWorld & { paymentId: string },
  nanos?: bigint,
  key = f.ctx.random.uuid(),
) =>
  refundPayment(f.ctx, stripe, {
    operatorId: f.userId,
    paymentId,
    money: nanos === undefined ? undefined : usd(nanos),
    reason: "asked for",
    key,
  });
const resume = ({ f, stripe }: StripeWorld) => resumeRefunds(f.ctx, stripe, { now: f.now() });
const spend = ({ f }: StripeWorld, nanos: bigint) =>
  postTransfer(f.ctx, {
    key: f.ctx.random.uuid(),
    code: "charge.tokens",
    ownerId: f.userId,
    money: usd(nanos),
    at: f.now(),
  });
const hold = ({ f }: StripeWorld, nanos: bigint) =>
  placeHold(f.ctx, {
    holdId: f.ctx.random.uuid(),
    key: f.ctx.random.uuid(),
    purpose: "slice",
    ownerId: f.userId,
    money: usd(nanos),
    at: f.now(),
    expiresAt: null,
  });
const verdictOf = async ({ f }: StripeWorld) => {
  const question = { userId: f.userId, holdNanos: 1n, currency: CURRENCY, placeKind: "local" } as const;
  return (await moneyVerdict(f.ctx, question)).errors.map(({ reason }) => reason);
};

test("a refund goes back to the card once for its key, and out of the balance", async (t) => {
  const world = await paidWorld(t);
  const row = await refund(world, units(4), "k");
  assert.equal(row.state, "succeeded");
  assert.equal((await refund(world, units(4), "k")).refundId, row.refundId);
  await assert.rejects(refund(world, units(5), "k"), { reason: "IDEMPOTENCY_KEY_REUSED" });
  for (const event of world.fake.books.events) await world.hear(event);
  assert.equal(world.fake.books.refundedOf(world.paymentId), 400);
  assert.equal(await world.total(), units(6));
});

test("what is spent, held, refunded before or given as credit is not paid out", async (t) => {
  const world = await paidWorld(t);
  await credit(world.f, units(5));
  await spend(world, units(8));
  await hold(world, units(3));
  const refused = { reason: "REFUND_REFUSED", metadata: { refundable: "4.00 USD" } };
  await assert.rejects(refund(world, units(4.01)), refused);
  assert.equal((await refund(world)).amountNanos, units(4));
  await assert.rejects(refund(world), { reason: "REFUND_REFUSED", metadata: { refundable: "0.00 USD" } });
  assert.equal(world.fake.books.refundedOf(world.paymentId), 400);
});

test("credit that came after card money was spent is not paid out; nor does a dispute or a debt take it", async (t) => {
  const world = await paidWorld(t);
  const { userId, ctx } = world.f;
  await spend(world, units(9));
  await credit(world.f, units(50));
  await assert.rejects(refund(world, units(1.01)), {
    reason: "REFUND_REFUSED",
    metadata: { refundable: "1.00 USD" },
  });
  // A hold of credit leaves the card money refundable.
  await hold(world, units(50));
  assert.equal((await refund(world, units(0.4))).amountNanos, units(0.4));
  const key = { userId, key: "taken", money: { currency: CURRENCY, nanos: units(5) } };
  await withTransaction(ctx, (tx) =>
    takeMoney(tx, { ...key, code: "dispute.card", debtCode: "dispute.receivable" }),
  );
  assert.equal(await debtOf(ctx, userId, CURRENCY), units(4.4));
  await withTransaction(ctx, (tx) => settleDebt(tx, { userId, currency: CURRENCY, key: "again" }));
  assert.equal(await debtOf(ctx, userId, CURRENCY), units(4.4));
  assert.equal(await world.total(), units(50));
});

test("refunds of nothing, of less, of other money or of payments that are not there are refused", async (t) => {
  const world = await paidWorld(t);
  for (const nanos of [0n, -1n * units(1), units(0.001), units(11)]) {
    await assert.rejects(refund(world, nanos), { reason: "REFUND_REFUSED" });
  }
  const { f, stripe } = world;
  const order = { operatorId: f.userId, reason: "", key: "k", money: { currency: "EUR", nanos: units(1) } };
  await assert.rejects(refundPayment(f.ctx, stripe, { ...order, paymentId: world.paymentId }), {
    reason: "REFUND_REFUSED",
  });
  await assert.rejects(refund({ ...world, paymentId: "pi_nobody" }), { reason: "PAYMENT_NOT_FOUND" });
  assert.equal(await world.total(), units(10));
});

test("money on its way to the card is held, and back in the balance when the bank does not take it", async (t) => {
  const world = await paidWorld(t, units(10), "pm_card_pendingRefund");
  const { processorId } = await refund(world, units(4));
  const { totalNanos, heldNanos } = await balanceOf(world.f.ctx, world.f.userId);
  assert.deepEqual([totalNanos, heldNanos], [units(10), units(4)]);
  world.fake.books.refundEnds(processorId ?? "", "failed");
  await world.hear(world.newest("refund.failed"));
  const after = await balanceOf(world.f.ctx, world.f.userId);
  assert.deepEqual([after.totalNanos, after.heldNanos], [units(10), 0n]);
});

test("a refund that fails after it went out is in the balance again, once", async (t) => {
  const world = await paidWorld(t);
  const { processorId } = await refund(world, units(4));
  assert.equal(await world.total(), units(6));
  world.fake.books.refundEnds(processorId ?? "", "failed");
  const event = world.newest("refund.failed");
  await Promise.all([world.hear(event), world.hear({ ...event, id: "evt_twin" }), world.hear(event)]);
  assert.equal(await world.total(), units(10));
});

for (const how of ["500", "kept", "drop"] as const) {
  for (const when of ["before", "after"] as const) {
    test(`a refund whose answer is lost by ${how} ${when} the effect is made once`, async (t) => {
      const world = await paidWorld(t);
      world.fake.faults.push({ match: "POST /v1/refunds", when, how, times: 2 });
      await refund(world, units(4), "k").catch((error: unknown) =>
        assert.equal((error as { reason?: string }).reason, "UNAVAILABLE"),
      );
      world.fake.faults.length = 0;
      world.f.advance(61_000);
      await resume(world);
      assert.equal(world.fake.books.refundedOf(world.paymentId), 400);
      assert.equal(await world.total(), units(6));
      assert.equal((await balanceOf(world.f.ctx, world.f.userId)).heldNanos, 0n);
    });
  }
}

test("a refund that the processor never took is given up, and what was held is free again", async (t) => {
  const world = await paidWorld(t);
  world.fake.faults.push({ match: "POST /v1/refunds", when: "before", how: "drop", times: 3 });
  await assert.rejects(refund(world, units(4)), { reason: "UNAVAILABLE" });
  world.fake.faults.length = 0;
  world.f.advance(24 * HOUR_MS);
  await resume(world);
  assert.equal(world.fake.books.refunds.size, 0);
  assert.equal((await balanceOf(world.f.ctx, world.f.userId)).availableNanos, units(10));
});

test("a refund made at the processor takes what is left, and the rest is owed", async (t) => {
  const world = await paidWorld(t);
  await spend(world, units(7));
  world.fake.books.refund({ payment_intent: world.paymentId, amount: "500" });
  await world.hear(world.newest("refund.created"));
  assert.equal(await world.total(), 0n);
  assert.deepEqual(await verdictOf(world), ["ACCOUNT_RESTRICTED", "BALANCE_TOO_LOW"]);
  await world.pay({ nanos: units(5) });
  assert.equal(await world.total(), units(3));
  assert.deepEqual(await verdictOf(world), []);
});

test("a dispute takes what is available and leaves holds; what is missing is owed, and comes back when it is won", async (t) => {
  const world = await paidWorld(t);
  await spend(world, units(3));
  await hold(world, units(2));
  const dispute = world.fake.books.dispute(world.paymentId);
  const created = world.newest("charge.dispute.created");
  await world.hear(created);
  const { totalNanos, availableNanos } = await balanceOf(world.f.ctx, world.f.userId);
  assert.deepEqual([totalNanos, availableNanos], [units(2), 0n]);
  assert.ok((await verdictOf(world)).includes("ACCOUNT_RESTRICTED"));
  await assert.rejects(refund(world), { reason: "REFUND_REFUSED" });
  world.fake.books.disputeEnds(dispute.id, "won");
  await world.hear(world.newest("charge.dispute.closed"));
  // Late news of its beginning.
  await world.hear({ ...created, id: "evt_late" });
  assert.equal(await world.total(), units(7));
  assert.deepEqual(await verdictOf(world), []);
});

test("what a top-up settled of a dispute comes back to the user when the dispute is won", async (t) => {
  const world = await paidWorld(t);
  await spend(world, units(10));
  const dispute = world.fake.books.dispute(world.paymentId);
  await world.hear(world.newest("charge.dispute.created"));
  await world.pay({ nanos: units(4) });
  assert.equal(await world.total(), 0n);
  world.fake.books.disputeEnds(dispute.id, "won");
  await world.hear(world.newest("charge.dispute.closed"));
  assert.equal(await world.total(), units(4));
  assert.deepEqual(await verdictOf(world), []);
});

test("a bank that only asks takes nothing, and a lost dispute stays taken", async (t) => {
  const world = await paidWorld(t);
  const inquiry = world.fake.books.dispute(world.paymentId, "warning_needs_response");
  await world.hear(world.newest("charge.dispute.created"));
  assert.equal(await world.total(), units(10));
  world.fake.books.disputeEnds(inquiry.id, "needs_response");
  await world.hear(world.newest("charge.dispute.closed"));
  assert.equal(await world.total(), 0n);
  world.fake.books.disputeEnds(inquiry.id, "lost");
  await world.hear(world.newest("charge.dispute.closed"));
  assert.equal(await world.total(), 0n);
});

test("refunds at once never pay out more than there is", async (t) => {
  const world = await paidWorld(t);
  await Promise.allSettled(Array.from({ length: 6 }, () => refund(world, units(3))));
  assert.equal(world.fake.books.refundedOf(world.paymentId), 900);
  assert.equal(await world.total(), units(1));
});

test("whatever order refunds, disputes, payments and their news come in, the books say what the processor says", async (t) => {
  const world = await paidWorld(t, units(20));
  const { f, fake, stripe } = world;
  const step = fc.oneof(
    fc.record({ do: fc.constant("pay" as const), n: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant("spend" as const), n: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ do: fc.constant("refund" as const), n: fc.integer({ min: 1, max: 6 }), fault: fc.nat(3) }),
    fc.record({ do: fc.constant("refund there" as const), n: fc.integer({ min: 1, max: 6 }) }),
    fc.record({ do: fc.constant("refund fails" as const), n: fc.nat(9) }),
    fc.record({ do: fc.constant("dispute" as const), n: fc.nat(9) }),
    fc.record({ do: fc.constant("dispute ends" as const), n: fc.nat(9), won: fc.boolean() }),
    fc.record({ do: fc.constant("hear" as const), n: fc.nat(99) }),
  );
  const nth = <T>(things: Iterable<T>, n: number): T | undefined => {
    const all = [...things];
    return all[n % Math.max(1, all.length)];
  };
  const faults = ["before", "after"] as const;
  let spent = 0n;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 16 }), async (steps) => {
      for (const one of steps) {
        f.advance(2 * MINUTE_MS);
        const payment = nth(fake.books.payments.values(), one.n);
        const on = { ...world, paymentId: payment?.id ?? "" };
        if (one.do === "pay") await world.pay({ nanos: units(one.n) });
        else if (one.do === "spend") {
          await spend(world, units(one.n)).then(
            () => (spent += units(one.n)),
            () => undefined,
          );
        } else if (one.do === "refund") {
          const when = faults[one.fault];
          if (when) fake.faults.push({ match: "POST /v1/refunds", when, how: "drop", times: 2 });
          await refund(on, units(one.n)).catch(() => undefined);
          fake.faults.length = 0;
        } else if (one.do === "refund there") {
          const left = Number(payment?.amount_received) - fake.books.refundedOf(on.paymentId);
          if (left >= one.n * 100)
            fake.books.refund({ payment_intent: on.paymentId, amount: String(one.n * 100) });
        } else if (one.do === "refund fails") {
          const failing = nth(fake.books.refunds.values(), one.n);
          if (failing) fake.books.refundEnds(failing.id, "failed");
        } else if (one.do === "dispute") {
          const disputed = [...fake.books.disputes.values()].some(
            (each) => each.payment_intent === on.paymentId,
          );
          if (payment && !disputed) fake.books.dispute(on.paymentId);
        } else if (one.do === "dispute ends") {
          const ending = nth(fake.books.disputes.values(), one.n);
          if (ending?.status === "needs_response")
            fake.books.disputeEnds(ending.id, one.won ? "won" : "lost");
        } else {
          const event = nth(fake.books.events, one.n);
          if (event) await world.hear(event);
        }
      }
      f.advance(2 * MINUTE_MS);
      await resume(world);
      await pollEvents(f.ctx, stripe, { now: f.now() });
      const cents = [...fake.books.payments.keys()].map((id) => fake.books.refundedOf(id));
      const refunded = cents.reduce((total, each) => total + each, 0);
      const disputed = [...fake.books.disputes.values()]
        .filter(({ status }) => status !== "won")
        .reduce((total, { amount }) => total + Number(amount), 0);
      const there = BigInt(fake.books.succeeded() - refunded - disputed) * 10_000_000n;
      const { debtNanos, totalNanos } = await standing(world);
      assert.equal(totalNanos - debtNanos, there - spent);
      assert.ok(totalNanos === 0n || debtNanos === 0n, "nobody owes and has at once");
      assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
    }),
    { numRuns: 10, endOnFailure: true },
  );
});

async function standing({ f }: StripeWorld): Promise<{ debtNanos: bigint; totalNanos: bigint }> {
  const { totalNanos } = await balanceOf(f.ctx, f.userId);
  return { debtNanos: await debtOf(f.ctx, f.userId, CURRENCY), totalNanos };
}
