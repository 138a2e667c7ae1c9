/** The proof must be able to fail: each of these faults, put in the program's place, is found within a few histories. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../test/support/postgres.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import type { Purse } from "../gateway/index.ts";
import { type Ground, layGround, PROGRAM, prove, type Subject } from "./index.ts";

/** The slowest to be found takes a good part of these; a mutant that lives through all of them is a hole in the proof. */
const HISTORIES_MAX = 20;

let ground: Ground;
let url: string;
before(async (t) => {
  assert.ok("after" in t);
  const database = await testDatabase(t);
  url = database.url;
  ground = await layGround({ random: systemRandom, log: silentLog }, database.db);
});

/** The purse, with some of what it does done otherwise. */
function purseThat(change: (purse: Purse) => Partial<ReturnType<Subject["purse"]>>): Partial<Subject> {
  return {
    purse(deps, ship) {
      const purse = PROGRAM.purse(deps, ship) as Purse;
      const own = {
        reserve: purse.reserve.bind(purse),
        largest: purse.largest.bind(purse),
        shipped: purse.shipped.bind(purse),
        recall: purse.recall.bind(purse),
        tidy: purse.tidy.bind(purse),
      };
      return { ...own, ...change(purse) };
    },
  };
}

async function found(change: Partial<Subject>): Promise<string> {
  const { failed } = await prove(ground, {
    firstSeed: 1,
    histories: HISTORIES_MAX,
    subject: { ...PROGRAM, ...change },
  });
  assert.ok(failed, "the proof did not notice");
  assert.doesNotMatch(failed.what, /^Error|TypeError/, failed.what);
  return failed.what;
}

test("a purse that forgets to subtract", async () => {
  const forgetful = purseThat((purse) => ({
    async reserve(...wanted) {
      const real = await purse.reserve(...wanted);
      // All of it is there again at once; only its record is still waited for.
      real.settle(0n, true);
      const gone = () => purse.shipped([real.sliceId]);
      return { ...real, settle: (_, logged) => (logged ? undefined : gone()), unlogged: gone };
    },
  }));
  assert.match(await found(forgetful), /promised more than it holds/);
});

test("a purse that gives slices back while requests run", async () => {
  const hasty = purseThat((purse) => ({
    async reserve(...wanted) {
      const real = await purse.reserve(...wanted);
      return { ...real, settle: (charge) => real.settle(charge, false), unlogged: () => {} };
    },
  }));
  assert.match(await found(hasty), /given back before its usage/);
});

test("a purse that is deaf to recalls and keeps idle slices", async () => {
  assert.match(
    await found(purseThat(() => ({ recall: () => {}, tidy: async () => {} }))),
    /refused|still held/,
  );
});

test("an ingestion that counts a repeat again", async () => {
  let repeat = 0;
  const change: Partial<Subject> = {
    ingestUsage: (ctx, records) =>
      PROGRAM.ingestUsage(
        ctx,
        records.map((one) => ({ ...one, requestId: `${one.requestId}/${repeat++}` })),
      ),
  };
  assert.match(await found(change), /charges of tokens|receipt/);
});

test("an ingestion that drops a record of each larger batch", async () => {
  const change: Partial<Subject> = {
    ingestUsage: (ctx, records) => PROGRAM.ingestUsage(ctx, records.length > 1 ? records.slice(1) : records),
  };
  assert.match(await found(change), /charges of tokens|receipts/);
});

test("a settlement that comes while usage may still come", async () => {
  const change: Partial<Subject> = {
    // At the next minute, whatever was leased.
    settleSlices: (ctx, { now }) =>
      PROGRAM.settleSlices(ctx, { now: new Date(now.getTime() + 2 * 3_600_000) }),
  };
  assert.match(await found(change), /charges of tokens|was settled/);
});

test("slices that are never settled", async () => {
  assert.match(await found({ settleSlices: async () => 0 }), /refused|still held|charges of tokens/);
});

test("a replica's end that forgets to give back the window after the open one", async () => {
  const change: Partial<Subject> = {
    async endSlot(tx, input) {
      await PROGRAM.holdNextWindow(tx, { ...input, price: ground.gpuPrice, now: input.at }).catch(() => {});
    },
  };
  assert.match(await found(change), /still held|refused|proven/);
});

test("probes that charge the time of a silence", async () => {
  const change: Partial<Subject> = {
    async meterProbe(tx, probe) {
      const early = new Date(probe.at.getTime() - 20_000);
      await PROGRAM.meterProbe(tx, { ...probe, at: early });
      return PROGRAM.meterProbe(tx, probe);
    },
  };
  assert.match(await found(change), /proven|GPU/);
});

test("a lease that forgets what budgets bound", async () => {
  const change: Partial<Subject> = {
    leaseSlice: (ctx, { purpose: _, ...rest }) => PROGRAM.leaseSlice(ctx, rest),
  };
  assert.match(await found(change), /budget/);
});

test("a lease that ignores what is held", async () => {
  await breakFunction("ledger_lock_purse", "purse.balance, purse.held", "purse.balance, 0::bigint");
  await breakFunction("ledger_place_hold", "b.balance - b.held >= p_amount", "b.balance >= p_amount");
  assert.match(await found({}), /of which .* are held|promised|served/);
});

/** Puts other words into a function of the ledger, whose last line of defence is taken away too. Nothing is mended afterwards. */
async function breakFunction(name: string, right: string, wrong: string): Promise<void> {
  const owner = new pg.Client({ connectionString: url });
  await owner.connect();
  try {
    const { rows } = await owner.query<{ body: string }>("select pg_get_functiondef($1::regproc) as body", [
      name,
    ]);
    const body = rows[0]?.body ?? "";
    assert.ok(body.includes(right));
    const checks = await owner.query<{ conname: string }>(
      "select conname from pg_constraint where conrelid = 'ledger_balance'::regclass and contype = 'c'",
    );
    for (const { conname } of checks.rows)
      await owner.query(`alter table ledger_balance drop constraint ${conname}`);
    await owner.query(body.replace(right, wrong));
  } finally {
    await owner.end();
  }
}
