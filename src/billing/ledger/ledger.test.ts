import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import pg from "pg";
import { CURRENCY, credit, type Fixture, fixture, units } from "../../../test/support/billing.ts";
import { auditLedger, balanceOf, rebuildBalances } from "../index.ts";
import { captureHolds, endHold, lockHolds, MOVEMENTS, placeHold, postTransfer, sumOfKind } from "./index.ts";

const money = (nanos: bigint) => ({ currency: CURRENCY, nanos });

const topUp = (f: Fixture, key: string, nanos: bigint) =>
  postTransfer(f.ctx, { key, code: "topup.card", ownerId: f.userId, money: money(nanos), at: f.now() });
const hold = (f: Fixture, key: string, nanos: bigint) =>
  placeHold(f.ctx, {
    holdId: f.ctx.random.uuid(),
    key,
    purpose: "slice",
    ownerId: f.userId,
    money: money(nanos),
    at: f.now(),
    expiresAt: null,
  });
const take = (f: Fixture, holdId: string, key: string, nanos: bigint, ends = true) =>
  captureHolds(f.ctx, [{ holdId, key, code: "charge.tokens", nanos, ends, at: f.now() }]);

/** As the tables' owner, who may do what the program's role may not. */
async function asOwner(f: Fixture, work: (owner: pg.Client) => Promise<unknown>): Promise<void> {
  const owner = new pg.Client({ connectionString: f.url });
  await owner.connect();
  try {
    await work(owner);
  } finally {
    await owner.end();
  }
}

test("a transfer's key moves money once; the same key with other content is an error", async (t) => {
  const f = await fixture(t);
  const first = await topUp(f, "k", units(5));
  assert.deepEqual(await topUp(f, "k", units(5)), { transferId: first.transferId, created: false });
  await assert.rejects(topUp(f, "k", units(6)), { reason: "IDEMPOTENCY_KEY_REUSED" });
  const other = { key: "k", code: "credit.grant", ownerId: f.userId, money: money(units(5)) } as const;
  await assert.rejects(postTransfer(f.ctx, { ...other, at: f.now() }), { reason: "IDEMPOTENCY_KEY_REUSED" });
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(5));
  assert.equal(await sumOfKind(f.ctx, "processor.clearing", CURRENCY), -units(5));
});

test("money that is not there or is held can't be moved", async (t) => {
  const f = await fixture(t);
  await topUp(f, "k", units(5));
  await hold(f, "h", units(4));
  const refund = (key: string, nanos: bigint) =>
    postTransfer(f.ctx, { key, code: "refund.card", ownerId: f.userId, money: money(nanos), at: f.now() });
  await assert.rejects(refund("r", units(2)), {
    reason: "BALANCE_TOO_LOW",
    metadata: { needed: "2.00", available: "1.00", currency: "USD" },
  });
  const moved = await refund("s", units(1));
  assert.deepEqual(await refund("s", units(1)), { ...moved, created: false });
  assert.equal((await balanceOf(f.ctx, f.userId)).availableNanos, 0n);
});

test("an amount of nothing, of less, or beyond the bound is refused", async (t) => {
  const f = await fixture(t);
  for (const nanos of [0n, -1n, units(1_000_000_001)]) {
    await assert.rejects(topUp(f, "k", nanos), { reason: "AMOUNT_INVALID" });
  }
});

test("a hold ends once, by whichever comes first", async (t) => {
  const f = await fixture(t);
  await topUp(f, "k", units(10));
  const { holdId } = await hold(f, "h", units(4));
  assert.deepEqual(await hold(f, "h", units(4)), { holdId });
  await assert.rejects(hold(f, "h", units(3)), { reason: "IDEMPOTENCY_KEY_REUSED" });
  await take(f, holdId, "part", units(1), false);
  const captured = await take(f, holdId, "rest", units(2));
  assert.deepEqual(await take(f, holdId, "rest", units(2)), captured);
  await assert.rejects(take(f, holdId, "more", units(1)), { reason: "HOLD_ENDED" });
  assert.equal(await endHold(f.ctx, { holdId, state: "released", at: f.now() }), false);
  const balance = await balanceOf(f.ctx, f.userId);
  assert.deepEqual([balance.totalNanos, balance.heldNanos], [units(7), 0n]);
});

test("no more is captured than the hold has left", async (t) => {
  const f = await fixture(t);
  await topUp(f, "k", units(10));
  const { holdId } = await hold(f, "h", units(4));
  await take(f, holdId, "part", units(3), false);
  await assert.rejects(take(f, holdId, "over", units(2)), { code: "INTERNAL" });
  assert.equal((await balanceOf(f.ctx, f.userId)).heldNanos, units(1));
});

test("accounts meet only as the table of movements says", async (t) => {
  const f = await fixture(t);
  const { rows } = await sql<{ code: string }>`select code from ledger_movement`.execute(f.ctx.db);
  assert.deepEqual(rows.map((row) => row.code).sort(), [...MOVEMENTS].sort());
  await topUp(f, "k", units(10));
  const { holdId } = await hold(f, "h", units(4));
  await assert.rejects(
    captureHolds(f.ctx, [{ holdId, key: "x", code: "credit.grant", nanos: 1n, ends: true, at: f.now() }]),
  );
  assert.equal((await balanceOf(f.ctx, f.userId)).heldNanos, units(4));
});

test("the program's role can't touch the books but through their functions", async (t) => {
  const f = await fixture(t);
  await topUp(f, "k", units(10));
  await hold(f, "h", units(1));
  const tables = ["ledger_transfer", "ledger_entry", "ledger_account", "ledger_balance", "ledger_hold"];
  for (const table of tables) {
    for (const statement of [`delete from ${table}`, `truncate ${table}`]) {
      await assert.rejects(sql.raw(statement).execute(f.ctx.db), { code: "42501" }, statement);
    }
  }
  const changes = [
    "update ledger_balance set balance = balance + 1",
    "update ledger_hold set state = 'released'",
    "update ledger_entry set amount = amount * 2",
    "insert into ledger_transfer (key, code, currency, amount, at) values ('x', 'topup.card', 'USD', 1, now())",
    "insert into ledger_account (kind, owner_id, currency, created_at) values ('user', gen_random_uuid(), 'USD', now())",
    "update ledger_movement set to_kind = 'refunds'",
    "select ledger_write('x', 'topup.card', 1, 2, 'USD', 1, null, now())",
    "update usage_record set charge_nanos = 0",
    "delete from gpu_price",
    "update token_price set input_nanos_per_million = 0",
  ];
  for (const change of changes) {
    await assert.rejects(sql.raw(change).execute(f.ctx.db), { code: "42501" }, change);
  }
});

test("not even the tables' owner rewrites the past or leaves entries uneven", async (t) => {
  const f = await fixture(t);
  await topUp(f, "k", units(10));
  const { holdId } = await hold(f, "h", units(1));
  await endHold(f.ctx, { holdId, state: "released", at: f.now() });
  const refused = [
    "update ledger_transfer set amount = 1",
    "delete from ledger_entry",
    "truncate ledger_entry",
    "delete from ledger_hold",
    "update ledger_hold set state = 'placed', ended_at = null",
    "update ledger_hold set captured = 1",
  ];
  const uneven =
    "insert into ledger_entry select transfer_id, 3, account_id, currency, 1, at from ledger_entry limit 1";
  await asOwner(f, async (owner) => {
    for (const statement of refused)
      await assert.rejects(owner.query(statement), { code: "23001" }, statement);
    await assert.rejects(owner.query(uneven), { code: "23514" });
    await assert.rejects(owner.query("update ledger_balance set held = balance + 1"), { code: "23514" });
    await assert.rejects(owner.query("update ledger_balance set balance = -1"), { code: "23514" });
  });
});

test("balances are projections: written anew from entries and holds they are the same", async (t) => {
  const f = await fixture(t);
  await topUp(f, "k", units(10));
  await hold(f, "h", units(3));
  assert.equal(await rebuildBalances(f.ctx), 0);
  await asOwner(f, (owner) => owner.query("update ledger_balance set balance = balance + 5, held = 0"));
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 1 });
  assert.equal(await rebuildBalances(f.ctx), 1);
  const balance = await balanceOf(f.ctx, f.userId);
  assert.deepEqual([balance.totalNanos, balance.heldNanos], [units(10), units(3)]);
});

test("several connections that spend one balance at once never overdraw it", async (t) => {
  const f = await fixture(t, { connectionsMax: 12 });
  await credit(f, units(10));
  const attempts = Array.from({ length: 60 }, async (_, at) => {
    const { holdId } = await hold(f, `h${at}`, units(1));
    if (at % 3 === 0) await endHold(f.ctx, { holdId, state: "released", at: f.now() });
    else await take(f, holdId, `c${at}`, units(0.5));
  });
  const results = await Promise.allSettled(attempts);
  const short = results.filter((result) => result.status === "rejected");
  for (const { reason } of short) assert.equal(reason.reason, "BALANCE_TOO_LOW");
  const balance = await balanceOf(f.ctx, f.userId);
  assert.equal(balance.heldNanos, 0n);
  assert.equal(balance.totalNanos, units(10) + (await sumOfKind(f.ctx, "revenue.tokens", CURRENCY)) * -1n);
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
});

test("one key from several connections at once moves money once", async (t) => {
  const f = await fixture(t, { connectionsMax: 8 });
  const results = await Promise.all(Array.from({ length: 8 }, () => topUp(f, "same", units(1))));
  assert.equal(new Set(results.map((result) => result.transferId)).size, 1);
  assert.equal(results.filter((result) => result.created).length, 1);
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, units(1));
});

test("locking holds of several users leaves out what is unknown", async (t) => {
  const f = await fixture(t);
  await topUp(f, "k", units(10));
  const { holdId } = await hold(f, "h", units(3));
  const found = await f.ctx.db
    .transaction()
    .execute((db) => lockHolds({ ...f.ctx, db }, [f.ctx.random.uuid(), holdId]));
  assert.deepEqual(found, [{ holdId, restNanos: units(3), placed: true }]);
});
