import assert from "node:assert/strict";
import { test } from "node:test";
import { CURRENCY, units } from "../../../test/support/billing.ts";
import { stripeWorld } from "../../../test/support/stripe/world.ts";
import { parsePage } from "../../base/page.ts";
import { type News, refundPayment, tellNews } from "../index.ts";
import { type DisputePhase, disputesQuery, listDisputes, listRefunds, refundsQuery } from "./index.ts";

const DAY_MS = 24 * 3_600_000;

test("refunds and disputes are listed to their user and to all, newest first, page by page and by how far they are", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake, stripe } = world;
  await world.attach();
  const paid = await world.pay({ nanos: units(30) });
  for (const key of ["a", "b", "c"]) {
    f.advance(1_000);
    const money = { currency: CURRENCY, nanos: units(1) };
    const input = { operatorId: f.userId, paymentId: paid.processorId, money, reason: `for ${key}`, key };
    await refundPayment(f.ctx, stripe, input);
  }
  const [first] = fake.books.refunds.values();
  fake.books.refundEnds(first?.id ?? "", "failed");
  await world.hear(world.newest("refund.failed"));
  const refunds = async (query: { userId: string | undefined; state: string | undefined }, pageSize = 50) => {
    const told: string[] = [];
    let pageToken = "";
    do {
      const page = parsePage({ pageSize, pageToken }, refundsQuery(query));
      const found = await listRefunds(f.ctx, query, page);
      told.push(
        ...found.rows.map(({ reason, state, paymentId }) => {
          assert.equal(paymentId, paid.processorId);
          return `${reason} ${state}`;
        }),
      );
      pageToken = found.nextPageToken;
    } while (pageToken !== "");
    return told;
  };
  const all = ["for c succeeded", "for b succeeded", "for a failed"];
  assert.deepEqual(await refunds({ userId: f.userId, state: undefined }), all);
  assert.deepEqual(await refunds({ userId: undefined, state: undefined }, 1), all);
  assert.deepEqual(await refunds({ userId: f.userId, state: "failed" }), ["for a failed"]);
  assert.deepEqual(await refunds({ userId: f.ctx.random.uuid(), state: undefined }), []);

  const inquiry = fake.books.dispute(paid.processorId, "warning_needs_response");
  await world.hear(world.newest("charge.dispute.created"));
  f.advance(1_000);
  fake.books.dispute(paid.processorId, "needs_response", 200);
  await world.hear(world.newest("charge.dispute.created"));
  const disputes = async (phase: DisputePhase | undefined) => {
    const query = { userId: f.userId, phase };
    const page = parsePage({ pageSize: 0, pageToken: "" }, disputesQuery(query));
    const { rows } = await listDisputes(f.ctx, query, page);
    return rows.map((one) => [one.phase, one.taken, one.amountNanos]);
  };
  assert.deepEqual(await disputes(undefined), [
    ["OPEN", true, units(2)],
    ["INQUIRY", false, units(30)],
  ]);
  assert.deepEqual(await disputes("INQUIRY"), [["INQUIRY", false, units(30)]]);
  fake.books.disputeEnds(inquiry.id, "warning_closed");
  await world.hear(world.newest("charge.dispute.closed"));
  assert.deepEqual(await disputes("CLOSED"), [["CLOSED", false, units(30)]]);
});

test("refunds and disputes are told once as they begin and end, in the ledger's own transaction", async (t) => {
  const world = await stripeWorld(t);
  const { f, fake, stripe } = world;
  const told = async () => {
    const news: News[] = [];
    await tellNews(f.ctx, async (_tx, one) => void news.push(one));
    return news.map((one) => ("status" in one ? `${one.kind} ${one.status}` : one.kind));
  };
  await world.attach("pm_card_pendingRefund");
  const { processorId: paymentId } = await world.pay({ nanos: units(9) });
  await told();
  const money = { currency: CURRENCY, nanos: units(2) };
  await refundPayment(f.ctx, stripe, { operatorId: f.userId, paymentId, money, reason: "", key: "k" });
  assert.deepEqual(await told(), [], "it is on its way");
  const [made] = fake.books.refunds.values();
  fake.books.refundEnds(made?.id ?? "", "succeeded");
  for (let times = 0; times < 2; times++) await world.hear(world.newest("refund.updated"));
  assert.deepEqual(await told(), ["PAYMENT_REFUNDED"]);
  fake.books.refundEnds(made?.id ?? "", "failed");
  await world.hear(world.newest("refund.failed"));
  assert.deepEqual(await told(), ["REFUND_FAILED"]);
  const dispute = fake.books.dispute(paymentId, "warning_needs_response");
  await world.hear(world.newest("charge.dispute.created"));
  assert.deepEqual(await told(), ["PAYMENT_DISPUTED INQUIRY"]);
  fake.books.disputeEnds(dispute.id, "under_review");
  await world.hear(world.newest("charge.dispute.closed"));
  assert.deepEqual(await told(), [], "what lies between is the operator's to answer");
  fake.books.disputeEnds(dispute.id, "lost");
  await world.hear(world.newest("charge.dispute.closed"));
  assert.deepEqual(await told(), ["DISPUTE_CLOSED LOST"]);
  // Heard of only when it was over: both are told.
  f.advance(DAY_MS);
  const second = await world.pay({ nanos: units(3) });
  await told();
  fake.books.disputeEnds(fake.books.dispute(second.processorId).id, "won");
  await world.hear(world.newest("charge.dispute.created"));
  assert.deepEqual(await told(), ["PAYMENT_DISPUTED WON", "DISPUTE_CLOSED WON"]);
});
