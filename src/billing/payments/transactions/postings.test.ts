import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Money } from "../../../base/money.ts";
import type { ProcessorTransaction } from "../processor-news.ts";
import { bookingOf } from "./postings.ts";

/** Movements that add to the processor's balance; all others of a line take from it. */
const ADDS = new Set([
  "fee.returned",
  "payout.returned",
  "refund.unpaid",
  "exchange.bought",
  "unassigned.in",
]);

const amount = fc.bigInt({ min: -(10n ** 12n), max: 10n ** 12n });
const currency = fc.constantFrom("USD", "EUR");
const line = fc.record({
  transactionId: fc.constant("txn"),
  type: fc.constant("any"),
  lane: fc.constantFrom("payment", "refund", "dispute", "fee", "bank", "other"),
  subject: fc.option(
    fc.record({
      key: fc.constant(""),
      paymentId: fc.constant("pi"),
      money: fc.record({ currency, nanos: fc.bigInt({ min: 1n, max: 10n ** 12n }) }),
    }),
    { nil: undefined },
  ),
  subjectId: fc.constant("x"),
  gross: fc.record({ currency, nanos: amount }),
  feeNanos: amount,
  at: fc.constant(new Date(0)),
}) satisfies fc.Arbitrary<ProcessorTransaction>;

test("whatever a line is, all that it moves here and elsewhere is its net amount in its currency, and nothing in any other", () => {
  fc.assert(
    fc.property(line, fc.boolean(), (one, ours) => {
      const { postings, elsewhere } = bookingOf(one, ours);
      const moved = new Map<string, bigint>();
      const add = ({ currency: of, nanos }: Money) => moved.set(of, (moved.get(of) ?? 0n) + nanos);
      for (const { code, money } of postings) {
        assert.ok(money.nanos > 0n);
        add({ ...money, nanos: ADDS.has(code) ? money.nanos : -money.nanos });
      }
      if (elsewhere) add(elsewhere);
      for (const [of, nanos] of moved) {
        assert.equal(nanos, of === one.gross.currency ? one.gross.nanos - one.feeNanos : 0n, of);
      }
      assert.equal(moved.get(one.gross.currency) ?? 0n, one.gross.nanos - one.feeNanos);
      assert.equal(
        new Set(postings.map(({ part }) => part)).size,
        postings.length,
        "each has a key of its own",
      );
    }),
  );
});
