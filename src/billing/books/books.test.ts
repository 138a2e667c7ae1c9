import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import pg from "pg";
import {
  CURRENCY,
  cpuPrice,
  credit,
  type Fixture,
  fixture,
  tokenPriceOf,
  units,
  usage,
  WINDOW_MS,
} from "../../../test/support/billing.ts";
import { withTransaction } from "../../db/db.ts";
import {
  type CheckName,
  checkBooks,
  ensureWindowHeld,
  ingestUsage,
  lastCheck,
  leaseSlice,
  meterProbe,
  sealTransfers,
} from "../index.ts";

/** Past every trigger and key, as a broken disk or a hand in the database would. */
async function tamper(f: Fixture, statement: string): Promise<void> {
  const owner = new pg.Client({ connectionString: f.url });
  await owner.connect();
  try {
    await owner.query("set session_replication_role = replica");
    await owner.query(statement);
  } finally {
    await owner.end();
  }
}

/** A user with credit, an open slice that was charged, a closed window and one that is open. */
async function lively(f: Fixture): Promise<void> {
  await credit(f, units(100));
  const price = await cpuPrice(f);
  const tokens = await tokenPriceOf(f);
  const wanted = { gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: CURRENCY, now: f.now() };
  const { sliceId } = await leaseSlice(f.ctx, wanted);
  await ingestUsage(f.ctx, [usage(f, { sliceId, priceVersionId: tokens.versionId })]);
  const deploymentId = f.ctx.random.uuid();
  const window = { deploymentId, modelId: deploymentId, slot: 0, userId: f.userId, price, gpuCount: 0 };
  await withTransaction(f.ctx, (tx) =>
    ensureWindowHeld(tx, { ...window, windowMs: WINDOW_MS, now: f.now() }),
  );
  for (let probe = 0; probe < 40; probe++) {
    const at = f.advance(30_000);
    await withTransaction(f.ctx, (tx) => meterProbe(tx, { deploymentId, slot: 0, at }));
    await withTransaction(f.ctx, (tx) => ensureWindowHeld(tx, { ...window, windowMs: WINDOW_MS, now: at }));
  }
  await sealTransfers(f.ctx);
}

const found = async (f: Fixture, expected?: string) =>
  (await checkBooks(f.ctx, { now: f.now(), ...(expected === undefined ? {} : { expected }) })).findings;

test("good books have no findings, and the check is kept with the newest seal", async (t) => {
  const f = await fixture(t);
  await lively(f);
  const check = await checkBooks(f.ctx, { now: f.now() });
  assert.deepEqual(check.findings, []);
  assert.ok(check.transfers >= 3n && check.sealedTransfers === check.transfers);
  assert.deepEqual(await lastCheck(f.ctx), check);
  assert.deepEqual(await found(f, check.head), []);
});

test("whatever is wrong is found by the check that looks for it, with its name", async (t) => {
  const wrongs: readonly (readonly [CheckName, string])[] = [
    ["balances", "update ledger_balance set balance = balance + 1"],
    ["balances", "update ledger_balance set held = held - 1, credit_held = credit_held - 1"],
    ["balances", "delete from ledger_balance"],
    [
      "transfers",
      "delete from ledger_entry where line = 2 and transfer_id = (select max(id) from ledger_transfer)",
    ],
    ["transfers", "delete from ledger_transfer where id = (select max(id) from ledger_transfer)"],
    ["transfers", "update ledger_transfer set code = 'refund.card' where code = 'charge.tokens'"],
    ["chain", "update ledger_transfer set key = key || 'x' where code = 'credit.grant'"],
    [
      "currencies",
      "update ledger_entry set currency = 'EUR' where transfer_id = (select max(id) from ledger_transfer)",
    ],
    ["credit", "update ledger_pot set balance = balance + 1"],
    ["credit", "update ledger_pot set expires_at = now() - interval '40 years'"],
    ["credit", "update ledger_hold_credit set captured = amount - captured"],
    ["currencies", "update ledger_account set currency = 'EUR' where kind = 'user'"],
    ["holds", "update ledger_hold set captured = captured + 1 where purpose = 'slice'"],
    ["holds", "update token_slice set closed_at = now()"],
    ["holds", "update ledger_hold set expires_at = placed_at - interval '1 day' where purpose = 'slice'"],
    ["slices", "update ledger_hold set state = 'released', ended_at = now() where purpose = 'slice'"],
    [
      "windows",
      "update ledger_hold set state = 'released', ended_at = now() where purpose = 'gpu.window' and state = 'placed'",
    ],
    ["windows", "update gpu_window set charge_nanos = charge_nanos + 1 where state = 'captured'"],
    ["windows", "update gpu_window set share_nanos = 1 where state = 'captured'"],
    ["windows", "insert into cache_credited select gen_random_uuid(), 1"],
    ["windows", "delete from gpu_window where state = 'captured'"],
    [
      "refunds",
      "insert into payment_refund (id, key, intent_id, user_id, reason, amount, currency, processor, hold_id, state, created_at, updated_at) select gen_random_uuid(), 'k', gen_random_uuid(), user_id, '', 1, 'USD', 'test', gen_random_uuid(), 'pending', now(), now() from token_slice",
    ],
    [
      "processor",
      "insert into processor_transaction (processor, id, type, lane, subject_id, currency, gross, fee, happened_at, booked_at) values ('stripe', 'txn_1', 'stripe_fee', 'fee', '', 'USD', -1, 0, now(), now())",
    ],
    ["usage", "update usage_record set charge_nanos = charge_nanos + 1"],
    ["usage", "delete from usage_record"],
    ["usage", "update usage_record set written_off_nanos = 1"],
    ["months", "update token_month set requests = requests + 1"],
    ["spending", "update usage_day set charge_nanos = charge_nanos + 1 where kind = 'gpu'"],
    ["spending", "delete from spend_bucket where grain = 'day'"],
  ];
  for (const [check, statement] of wrongs) {
    const f = await fixture(t);
    await lively(f);
    await tamper(f, statement);
    const findings = (await found(f)).filter((finding) => finding.check === check);
    assert.ok(findings.length > 0, `${check}: ${statement}`);
    assert.ok(findings.every(({ count, examples }) => count > 0 && examples.length > 0));
  }
});

test("a chain that was made anew from its beginning is found by who had seen it before", async (t) => {
  const f = await fixture(t);
  await lively(f);
  const { head } = await checkBooks(f.ctx, { now: f.now() });
  await tamper(f, "delete from ledger_seal");
  await tamper(f, "update ledger_transfer set key = key || 'x' where code = 'credit.grant'");
  await sealTransfers(f.ctx);
  assert.deepEqual(await found(f), [
    {
      check: "chain",
      what: "seals that were seen before and are no longer in the chain",
      count: 1,
      examples: [head],
    },
  ]);
  assert.deepEqual(
    (await found(f, head)).map(({ check }) => check),
    ["chain"],
    "who kept it elsewhere finds it later too",
  );
});

test("what a check found can be neither changed nor removed by the program", async (t) => {
  const f = await fixture(t);
  await checkBooks(f.ctx, { now: f.now() });
  for (const statement of [
    "update ledger_check set findings = '[]'",
    "delete from ledger_check",
    "truncate ledger_check",
  ])
    await assert.rejects(sql.raw(statement).execute(f.ctx.db), { code: "42501" });
});
