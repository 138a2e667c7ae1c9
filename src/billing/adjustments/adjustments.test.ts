import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { CURRENCY, credit, type Fixture, fixture, units } from "../../../test/support/billing.ts";
import { parsePage } from "../../base/page.ts";
import { createUser, setUserDisabled } from "../../identity/index.ts";
import {
  auditLedger,
  balanceOf,
  configureBilling,
  moneyVerdict,
  statement,
  statementQuery,
} from "../index.ts";
import {
  approveAdjustment,
  expireAdjustments,
  type ProposedAdjustment,
  proposeAdjustment,
  rejectAdjustment,
} from "./index.ts";

const ALONE_MAX = units(100);

async function world(t: Parameters<typeof fixture>[0]) {
  const f = await fixture(t, { connectionsMax: 8 });
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "off", adjustmentAloneMaxNanos: ALONE_MAX });
  const [first, second] = await Promise.all(
    ["first", "second"].map((displayName) => createUser(f.ctx, { displayName, role: "ADMIN" })),
  );
  assert.ok(first && second);
  const propose = (nanos: bigint, change: Partial<ProposedAdjustment> = {}) =>
    proposeAdjustment(f.ctx, {
      ...{ operatorId: first.id, userId: f.userId, direction: "CREDIT", reason: "outage" },
      ...{ money: { currency: CURRENCY, nanos }, ...change },
    });
  return { f, first: first.id, second: second.id, propose };
}

const total = async (f: Fixture) => (await balanceOf(f.ctx, f.userId)).totalNanos;

test("within the bound one administrator is enough; above it no money moves before another has approved", async (t) => {
  const { f, first, second, propose } = await world(t);
  const small = await propose(units(100));
  assert.deepEqual([small.state, await total(f)], ["POSTED", units(100)]);
  const large = await propose(units(0.001));
  assert.deepEqual([large.state, await total(f)], ["PROPOSED", units(100)], "the day's bound is used up");
  const { adjustmentId } = large;
  await assert.rejects(approveAdjustment(f.ctx, { operatorId: first, adjustmentId }), {
    reason: "SECOND_ADMIN_NEEDED",
  });
  const done = await approveAdjustment(f.ctx, { operatorId: second, adjustmentId });
  assert.deepEqual([done.state, done.decidedBy], ["POSTED", second]);
  assert.equal(await total(f), units(100.001));
  const again = await approveAdjustment(f.ctx, { operatorId: second, adjustmentId });
  assert.equal(again.transferId, done.transferId);
  assert.equal(await total(f), units(100.001));
  f.advance(24 * 3_600_000 + 1);
  assert.equal((await propose(units(100))).state, "POSTED", "a day later the bound is free again");
});

test("of many at once one administrator moves no more than the bound", async (t) => {
  const { f, propose } = await world(t);
  const made = await Promise.all(Array.from({ length: 8 }, () => propose(units(30))));
  const posted = made.filter(({ state }) => state === "POSTED");
  assert.equal(posted.length, 3);
  assert.equal(await total(f), units(90));
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
});

test("nobody corrects their own balance alone, nor approves what is theirs", async (t) => {
  const { f, first, second, propose } = await world(t);
  const own = await propose(units(1), { userId: first });
  assert.equal(own.state, "PROPOSED");
  const other = await propose(units(1_000), { userId: second });
  const input = { operatorId: second, adjustmentId: other.adjustmentId };
  await assert.rejects(approveAdjustment(f.ctx, input), { reason: "SECOND_ADMIN_NEEDED" });
});

test("a debit takes what is there or nothing, and stays open where there is too little", async (t) => {
  const { f, second, propose } = await world(t);
  await assert.rejects(propose(units(5), { direction: "DEBIT" }), { reason: "BALANCE_TOO_LOW" });
  const large = await propose(units(200), { direction: "DEBIT" });
  const input = { operatorId: second, adjustmentId: large.adjustmentId };
  await credit(f, units(150));
  await assert.rejects(approveAdjustment(f.ctx, input), { reason: "BALANCE_TOO_LOW" });
  await credit(f, units(60));
  assert.equal((await approveAdjustment(f.ctx, input)).state, "POSTED");
  assert.equal(await total(f), units(10));
  const query = { userId: f.userId, codes: undefined, modelId: "" };
  const page = parsePage({ pageSize: 0, pageToken: "" }, statementQuery(query));
  const { rows } = await statement(f.ctx, query, page);
  const [line] = rows.filter(({ code }) => code === "adjustment.debit");
  assert.deepEqual([line?.nanos, line?.note], [-units(200), "outage"]);
});

test("two approvals at once move the money once; an approval and a rejection end it one way", async (t) => {
  const { f, second, propose } = await world(t);
  const third = (await createUser(f.ctx, { displayName: "third", role: "ADMIN" })).id;
  const one = await propose(units(500));
  const both = await Promise.allSettled(
    [second, third].map((operatorId) =>
      approveAdjustment(f.ctx, { operatorId, adjustmentId: one.adjustmentId }),
    ),
  );
  assert.equal(both.filter(({ status }) => status === "fulfilled").length, 1);
  assert.equal(await total(f), units(500));
  const two = await propose(units(500));
  const key = { adjustmentId: two.adjustmentId };
  const race = await Promise.allSettled([
    approveAdjustment(f.ctx, { ...key, operatorId: second }),
    rejectAdjustment(f.ctx, { ...key, operatorId: third, note: "no" }),
  ]);
  const [approved] = race;
  assert.equal(race.filter(({ status }) => status === "fulfilled").length, 1);
  assert.equal(await total(f), approved?.status === "fulfilled" ? units(1_000) : units(500));
});

test("an expired proposal, or one whose proposer is an administrator no more, can't be approved", async (t) => {
  const { f, first, second, propose } = await world(t);
  const late = await propose(units(500));
  f.advance(7 * 24 * 3_600_000);
  const input = { operatorId: second, adjustmentId: late.adjustmentId };
  await assert.rejects(approveAdjustment(f.ctx, input), { reason: "ADJUSTMENT_ENDED" });
  assert.equal(await expireAdjustments(f.ctx), 1);
  await assert.rejects(rejectAdjustment(f.ctx, { ...input, note: "" }), { reason: "ADJUSTMENT_ENDED" });
  const orphan = await propose(units(500));
  await setUserDisabled(f.ctx, { userId: first, disabled: true });
  await assert.rejects(approveAdjustment(f.ctx, { ...input, adjustmentId: orphan.adjustmentId }), {
    reason: "SECOND_ADMIN_NEEDED",
  });
  const missing = { operatorId: second, adjustmentId: f.ctx.random.uuid() };
  await assert.rejects(approveAdjustment(f.ctx, missing), { reason: "ADJUSTMENT_NOT_FOUND" });
});

test("amounts that are no amounts are refused by name", async (t) => {
  const { propose, f } = await world(t);
  const cases: [() => Promise<unknown>, string, string | undefined][] = [
    [() => propose(0n), "amount", "AMOUNT_INVALID"],
    [() => propose(-1n), "amount", "AMOUNT_INVALID"],
    [() => propose(units(2_000_000_000)), "amount", "AMOUNT_INVALID"],
    [() => propose(1n, { money: { currency: "EUR", nanos: 1n } }), "amount", "CURRENCY_MISMATCH"],
    [() => propose(1n, { reason: "  " }), "reason", undefined],
  ];
  for (const [ask, field, reason] of cases) {
    await assert.rejects(ask, (error: { violations: { field: string; reason?: string }[] }) => {
      assert.deepEqual([error.violations[0]?.field, error.violations[0]?.reason], [field, reason]);
      return true;
    });
  }
  await assert.rejects(propose(1n, { userId: f.ctx.random.uuid() }), { reason: "USER_NOT_FOUND" });
});

test("what was given as play money stays play money", async (t) => {
  const { f, propose } = await world(t);
  const question = { userId: f.userId, holdNanos: 1n, currency: CURRENCY, placeKind: "cloud" } as const;
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "test", adjustmentAloneMaxNanos: ALONE_MAX });
  await propose(units(10));
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "off", adjustmentAloneMaxNanos: ALONE_MAX });
  const { errors } = await moneyVerdict(f.ctx, question);
  assert.deepEqual(
    errors.map(({ reason }) => reason),
    ["TEST_MONEY_REFUSED"],
  );
});

test("the database refuses to change what was decided, and a second post of one administrator", async (t) => {
  const { f, first, propose } = await world(t);
  const one = await propose(units(1));
  const two = await propose(units(1_000));
  await assert.rejects(
    sql`update balance_adjustment set amount = 1 where id = ${one.adjustmentId}`.execute(f.ctx.db),
  );
  await assert.rejects(
    sql`update balance_adjustment set state = 'POSTED', decided_by = ${first}, decided_at = now(), transfer_id = 1
      where id = ${two.adjustmentId}`.execute(f.ctx.db),
  );
  const { rows } = await sql<{ action: string }>`
    select action from audit_event where action like 'adjustment.%' order by action`.execute(f.ctx.db);
  assert.deepEqual(
    rows.map(({ action }) => action),
    ["adjustment.posted", "adjustment.proposed"],
  );
});
