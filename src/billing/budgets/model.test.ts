import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { budgetExceeded } from "./errors.ts";
import { BUDGET_PERIODS, type BudgetUse, leftOf, periodOf, tightestOf } from "./model.ts";

const at = (text: string) => new Date(text);
const span = (period: "day" | "month", text: string) => {
  const { startsAt, resetsAt } = periodOf(period, at(text));
  return `${startsAt.toISOString().slice(0, 16)} ${resetsAt?.toISOString().slice(0, 16)}`;
};

test("days and months are the calendar's in UTC, over leap days and the ends of months and years", () => {
  assert.equal(span("day", "2028-02-28T23:59:59.999Z"), "2028-02-28T00:00 2028-02-29T00:00");
  assert.equal(span("day", "2028-02-29T00:00:00Z"), "2028-02-29T00:00 2028-03-01T00:00");
  assert.equal(span("day", "2027-02-28T12:00:00Z"), "2027-02-28T00:00 2027-03-01T00:00");
  assert.equal(span("day", "2026-12-31T23:30:00-05:00"), "2027-01-01T00:00 2027-01-02T00:00");
  assert.equal(span("month", "2028-02-29T23:59:59Z"), "2028-02-01T00:00 2028-03-01T00:00");
  assert.equal(span("month", "2026-12-31T23:59:59Z"), "2026-12-01T00:00 2027-01-01T00:00");
  assert.equal(span("month", "2026-03-31T00:00:00Z"), "2026-03-01T00:00 2026-04-01T00:00");
  assert.deepEqual(periodOf("total", at("2026-03-31T00:00:00Z")), { startsAt: new Date(0), resetsAt: null });
});

test("every moment lies in its period, and the next one begins where it ends", () => {
  const moments = fc.date({ min: at("1990-01-01"), max: at("2120-01-01"), noInvalidDate: true });
  fc.assert(
    fc.property(moments, fc.constantFrom(...BUDGET_PERIODS), (moment, period) => {
      const { startsAt, resetsAt } = periodOf(period, moment);
      assert.ok(startsAt <= moment && (resetsAt === null || moment < resetsAt));
      if (resetsAt) assert.deepEqual(periodOf(period, resetsAt).startsAt, resetsAt);
      assert.deepEqual(periodOf(period, startsAt), { startsAt, resetsAt });
    }),
  );
});

const use = (more: Partial<BudgetUse>): BudgetUse => ({
  budgetId: "b",
  userId: "u",
  kind: "key",
  subject: "k",
  period: "day",
  currency: "USD",
  limitNanos: 1_000n,
  createdAt: at("2026-03-01"),
  changedAt: at("2026-03-01"),
  startsAt: at("2026-03-01"),
  resetsAt: at("2026-03-02"),
  spentNanos: 0n,
  reservedNanos: 0n,
  ...more,
});

test("the tightest budget binds; nothing is left of one whose limit was lowered below what is spent", () => {
  const lowered = use({ limitNanos: 10n, spentNanos: 900n });
  assert.equal(leftOf(lowered), 0n);
  const month = use({ limitNanos: 10n, spentNanos: 10n, period: "month", resetsAt: at("2026-04-01") });
  assert.equal(tightestOf([use({}), lowered, month]), month, "of two that are empty the one that stays so");
  assert.equal(tightestOf([use({ spentNanos: 600n }), use({ reservedNanos: 700n })])?.reservedNanos, 700n);
  assert.equal(tightestOf([]), undefined);
});

test("a refusal says to come again only where a little waiting helps", () => {
  const noon = at("2026-03-01T12:00:00Z");
  const retry = (one: BudgetUse, needed: bigint, now = noon) => budgetExceeded(one, needed, now).retryAfterMs;
  assert.equal(retry(use({ reservedNanos: 950n }), 100n), 2_000, "it is only reserved");
  assert.equal(retry(use({ spentNanos: 950n }), 100n), undefined, "half a day is long");
  assert.equal(retry(use({ spentNanos: 950n }), 100n, at("2026-03-01T23:30:00Z")), 1_800_000);
  assert.equal(
    retry(use({ spentNanos: 950n }), 1_100n, at("2026-03-01T23:30:00Z")),
    undefined,
    "never enough",
  );
  assert.equal(retry(use({ spentNanos: 950n, period: "total", resetsAt: null }), 100n), undefined);
  const { metadata, message } = budgetExceeded(use({ spentNanos: 950n }), 100n, noon);
  assert.deepEqual(
    [metadata.budget, metadata.period, metadata.needed, metadata.available, metadata.resets_at],
    ["key", "day", "0.0000001", "0.00000005", "2026-03-02T00:00:00.000Z"],
  );
  assert.match(
    message,
    /^This needs 0\.0000001 USD, and the day budget of this key has 0\.00000005 USD left/,
  );
});
