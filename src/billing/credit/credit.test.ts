/** Grants of credit: who may give them, what is told of them, and how they end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { CURRENCY, type Fixture, fixture, units } from "../../../test/support/billing.ts";
import { parsePage } from "../../base/page.ts";
import { createUser, setUserDisabled } from "../../identity/index.ts";
import { approveAdjustment, grantAlone, proposeAdjustment } from "../adjustments/index.ts";
import {
  auditLedger,
  balanceOf,
  checkBooks,
  closeSlice,
  configureBilling,
  expireCredit,
  leaseSlice,
  listCredit,
  type News,
  statement,
  statementQuery,
  tellNews,
  warnExpiry,
} from "../index.ts";

const DAY_MS = 24 * 3_600_000;
const ALONE_MAX = units(100);

async function world(t: Parameters<typeof fixture>[0]) {
  const f = await fixture(t, { connectionsMax: 6 });
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "off", adjustmentAloneMaxNanos: ALONE_MAX });
  const [first, second] = await Promise.all(
    ["first", "second"].map((displayName) => createUser(f.ctx, { displayName, role: "ADMIN" })),
  );
  assert.ok(first && second);
  /** Days from now; null: it does not expire. */
  const end = (days: number | null) => (days === null ? null : new Date(f.now().getTime() + days * DAY_MS));
  const give = (nanos: bigint, days: number | null, change: object = {}) =>
    grantAlone(f.ctx, {
      ...{ operatorId: first.id, userId: f.userId, money: { currency: CURRENCY, nanos } },
      ...{ reason: "welcome", creditExpiresAt: end(days), ...change },
    });
  return { f, first: first.id, second: second.id, end, give };
}

const total = async (f: Fixture) => (await balanceOf(f.ctx, f.userId)).totalNanos;
const lefts = async (f: Fixture) =>
  (await listCredit(f.ctx, f.userId, await balanceOf(f.ctx, f.userId))).map(
    ({ reason, leftNanos, expiresAt }) => [reason, leftNanos, expiresAt],
  );

async function news(f: Fixture): Promise<readonly News[]> {
  const told: News[] = [];
  await tellNews(f.ctx, async (_tx, one) => void told.push(one));
  return told;
}

const lease = (f: Fixture, wantNanos: bigint) =>
  leaseSlice(f.ctx, { gatewayId: "g", userId: f.userId, wantNanos, currency: CURRENCY, now: f.now() });

test("one administrator gives up to the bound of a day alone, corrections included, and nothing to themselves", async (t) => {
  const { f, first, second, give } = await world(t);
  await give(units(60), 30);
  const correction = { operatorId: first, userId: f.userId, direction: "CREDIT", reason: "outage" } as const;
  await proposeAdjustment(f.ctx, { ...correction, money: { currency: CURRENCY, nanos: units(40) } });
  const refused = { reason: "SECOND_ADMIN_NEEDED", code: "FAILED_PRECONDITION" };
  await assert.rejects(give(1n, 30), refused);
  await assert.rejects(give(1n, null, { operatorId: second, userId: second }), refused);
  assert.equal(await total(f), units(100));
  const { rows } = await sql`select from balance_adjustment where state = 'PROPOSED'`.execute(f.ctx.db);
  assert.equal(rows.length, 0, "what was refused is not left as a proposal");
  f.advance(DAY_MS + 1);
  await give(units(100), null);
});

test("a large grant waits for another administrator, with its end, and is credit from then on", async (t) => {
  const { f, first, second, end } = await world(t);
  const grant = {
    operatorId: first,
    userId: f.userId,
    kind: "GRANT",
    direction: "CREDIT",
    reason: "launch",
  } as const;
  const money = { currency: CURRENCY, nanos: units(500) };
  const proposed = await proposeAdjustment(f.ctx, { ...grant, money, creditExpiresAt: end(30) });
  assert.deepEqual([proposed.state, await total(f)], ["PROPOSED", 0n]);
  const { adjustmentId } = proposed;
  await assert.rejects(approveAdjustment(f.ctx, { operatorId: first, adjustmentId }), {
    reason: "SECOND_ADMIN_NEEDED",
  });
  f.advance(DAY_MS);
  await approveAdjustment(f.ctx, { operatorId: second, adjustmentId });
  await approveAdjustment(f.ctx, { operatorId: second, adjustmentId });
  assert.deepEqual(await lefts(f), [["launch", units(500), proposed.creditExpiresAt]]);
  const late = await proposeAdjustment(f.ctx, { ...grant, money, creditExpiresAt: end(1) });
  f.advance(DAY_MS);
  await assert.rejects(approveAdjustment(f.ctx, { operatorId: second, adjustmentId: late.adjustmentId }), {
    reason: "EXPIRY_INVALID",
  });
  assert.equal(await total(f), units(500));
});

test("ends, amounts and currencies that can't be are refused by name", async (t) => {
  const { f, give, end, first } = await world(t);
  const cases: readonly [() => Promise<unknown>, string, string][] = [
    [() => give(units(1), 0), "credit_expires_at", "EXPIRY_INVALID"],
    [() => give(units(1), -1), "credit_expires_at", "EXPIRY_INVALID"],
    [() => give(units(1), 5 * 365 + 1), "credit_expires_at", "EXPIRY_INVALID"],
    [() => give(0n, 1), "amount", "AMOUNT_INVALID"],
    [() => give(-1n, 1), "amount", "AMOUNT_INVALID"],
    [() => give(units(2_000_000_000), 1), "amount", "AMOUNT_INVALID"],
    [() => give(1n, 1, { money: { currency: "EUR", nanos: 1n } }), "amount", "CURRENCY_MISMATCH"],
  ];
  for (const [ask, field, reason] of cases) {
    await assert.rejects(ask, (error: { reason: string; violations: { field: string }[] }) => {
      assert.deepEqual([error.violations[0]?.field, error.reason], [field, reason]);
      return true;
    });
  }
  const odd = { operatorId: first, userId: f.userId, reason: "x", money: { currency: CURRENCY, nanos: 1n } };
  for (const input of [
    { ...odd, direction: "CREDIT", creditExpiresAt: end(1) },
    { ...odd, direction: "DEBIT", kind: "GRANT" },
  ] as const)
    await assert.rejects(proposeAdjustment(f.ctx, input), { reason: "INVALID_FIELD" });
  await assert.rejects(give(1n, 1, { userId: f.ctx.random.uuid() }), { reason: "USER_NOT_FOUND" });
  assert.equal(await total(f), 0n);
  await give(1n, 5 * 365);
});

test("a user has a bounded number of grants that end, and any number that does not", async (t) => {
  const { f, give } = await world(t);
  for (let at = 1; at <= 50; at++) await give(1n, at);
  await assert.rejects(give(1n, 60), { reason: "TOO_MANY_GRANTS" });
  await give(1n, null);
  await give(1n, null);
  f.advance(DAY_MS);
  await expireCredit(f.ctx);
  await give(1n, 60);
  assert.equal((await lefts(f)).length, 51);
});

test("what is left at a grant's end is booked back once, with news and an event; what a slice held is not", async (t) => {
  const { f, give, end } = await world(t);
  const expiresAt = end(1);
  await give(units(20), 1);
  await give(units(5), null, { reason: "kept" });
  const slice = await lease(f, units(3));
  f.advance(DAY_MS);
  assert.deepEqual((await lefts(f))[0], ["welcome", units(3), expiresAt], "what the slice keeps");
  assert.equal(await total(f), units(8));
  const workers = await Promise.all([1, 2, 3].map(() => expireCredit(f.ctx)));
  assert.deepEqual(workers.sort(), [0, 0, 1]);
  const [told, ...more] = await news(f);
  assert.deepEqual(more, []);
  assert.ok(told?.kind === "CREDIT_EXPIRED");
  assert.deepEqual([told.amount.nanos, told.expiresAt], [units(17), expiresAt]);
  await closeSlice(f.ctx, { gatewayId: "g", sliceId: slice.sliceId, now: f.now() });
  assert.equal(await expireCredit(f.ctx), 1);
  assert.equal(await total(f), units(5));
  const query = { userId: f.userId, codes: undefined, modelId: "" };
  const { rows } = await statement(
    f.ctx,
    query,
    parsePage({ pageSize: 0, pageToken: "" }, statementQuery(query)),
  );
  const lines = rows.map(({ code, nanos }) => [code, nanos]);
  assert.deepEqual(
    lines
      .filter(([code]) => code === "credit.expire")
      .map(([, nanos]) => nanos)
      .sort(),
    [-units(17), -units(3)],
  );
  assert.equal(
    rows.reduce((sum, { nanos }) => sum + nanos, 0n),
    units(5),
  );
  const audit = await sql<{ action: string }>`
    select action from audit_event where subject_id = ${f.userId} and action = 'credit.expired'`.execute(
    f.ctx.db,
  );
  assert.equal(audit.rows.length, 2);
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
  assert.deepEqual((await checkBooks(f.ctx, { now: f.now() })).findings, []);
});

test("an end is told once, a week before, unless nothing is left or it was given for less", async (t) => {
  const { f, give, end } = await world(t);
  const expiresAt = end(30);
  await give(units(20), 30);
  await give(units(1), 7, { reason: "short" });
  await give(units(1), 31, { reason: "used up" });
  await lease(f, units(1));
  assert.equal(await warnExpiry(f.ctx), 0);
  f.advance(23 * DAY_MS - 1);
  assert.equal(await warnExpiry(f.ctx), 0);
  f.advance(1);
  const workers = await Promise.all([1, 2, 3].map(() => warnExpiry(f.ctx)));
  assert.deepEqual(workers.sort(), [0, 0, 1]);
  assert.equal(await warnExpiry(f.ctx), 0);
  const [told, ...more] = await news(f);
  assert.deepEqual(more, []);
  assert.ok(told?.kind === "CREDIT_EXPIRING");
  assert.deepEqual([told.amount.nanos, told.expiresAt], [units(20), expiresAt]);
});

test("a disabled user keeps the balance, and its credit goes on expiring", async (t) => {
  const { f, give } = await world(t);
  await give(units(20), 1);
  await give(units(5), null);
  await setUserDisabled(f.ctx, { userId: f.userId, disabled: true });
  assert.equal(await total(f), units(25));
  f.advance(DAY_MS);
  assert.equal(await expireCredit(f.ctx), 1);
  assert.equal(await total(f), units(5));
  await setUserDisabled(f.ctx, { userId: f.userId, disabled: false });
  await lease(f, units(5));
});
