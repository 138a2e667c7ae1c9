import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import pg from "pg";
import { CURRENCY, type Fixture, fixture, units } from "../../../../test/support/billing.ts";
import { postTransfer } from "../index.ts";
import { canonicalTransfer } from "./canonical.ts";
import { headOf, sealTransfers, selectLastSeal, verifySeals } from "./index.ts";

const topUp = (f: Fixture, key: string, nanos = units(1)) =>
  postTransfer(f.ctx, {
    key,
    code: "topup.card",
    ownerId: f.userId,
    money: { currency: CURRENCY, nanos },
    at: f.now(),
  });

/** As who holds the database itself, past the triggers that refuse. */
async function forge(f: Fixture, ...statements: readonly string[]): Promise<void> {
  const owner = new pg.Client({ connectionString: f.url });
  await owner.connect();
  try {
    await owner.query("set session_replication_role = replica");
    for (const statement of statements) await owner.query(statement);
  } finally {
    await owner.end();
  }
}

async function sealed(f: Fixture): Promise<void> {
  for (const key of ["a", "b"]) await topUp(f, key);
  await sealTransfers(f.ctx);
  for (const key of ["c", "d", "e"]) await topUp(f, key);
  await sealTransfers(f.ctx);
}

const brokenNumbers = async (f: Fixture) => (await verifySeals(f.ctx)).broken.map(({ number }) => number);

test("every committed transfer is sealed once, in order, and a repeat seals nothing", async (t) => {
  const f = await fixture(t);
  await sealed(f);
  assert.deepEqual(await sealTransfers(f.ctx), { seals: 0, transfers: 0 });
  const chain = await verifySeals(f.ctx);
  assert.deepEqual([chain.seals, chain.transfers, chain.broken], [2n, 5n, []]);
  assert.equal(chain.head, headOf(await selectLastSeal(f.ctx)));
});

test("a transfer, an entry or an account that was changed is found, and so is one that was removed", async (t) => {
  const changes = {
    amount: ["update ledger_transfer set amount = amount + 1 where key = 'd'"],
    time: ["update ledger_transfer set at = at + interval '1 microsecond' where key = 'd'"],
    leg: [
      "update ledger_entry set account_id = account_id + 1 where transfer_id = (select id from ledger_transfer where key = 'd')",
    ],
    removed: ["delete from ledger_transfer where key = 'd'"],
  };
  for (const [name, statements] of Object.entries(changes)) {
    const f = await fixture(t);
    await sealed(f);
    await forge(f, ...statements);
    assert.deepEqual(await brokenNumbers(f), [2n], name);
  }
  const f = await fixture(t);
  await sealed(f);
  await forge(f, "update ledger_account set owner_id = gen_random_uuid() where kind = 'user'");
  assert.deepEqual(await brokenNumbers(f), [1n, 2n], "whose money it was");
});

test("a transfer that is put into an id that was never used is found behind its seal", async (t) => {
  const f = await fixture(t);
  await sealed(f);
  await assert.rejects(
    f.ctx.db.transaction().execute(async (db) => {
      await topUp({ ...f, ctx: { ...f.ctx, db } }, "rolled back");
      throw new Error("rolled back");
    }),
  );
  await topUp(f, "f");
  await sealTransfers(f.ctx);
  await forge(
    f,
    `insert into ledger_transfer (id, key, code, currency, amount, at) overriding system value
      select max(id) - 1, 'z', 'topup.card', 'USD', 1, now() from ledger_transfer`,
  );
  assert.deepEqual(await brokenNumbers(f), [3n]);
});

test("a seal that was made anew no longer follows the chain", async (t) => {
  const f = await fixture(t);
  await sealed(f);
  await forge(f, "update ledger_seal set digest = sha256('x') where number = 1");
  assert.deepEqual(await brokenNumbers(f), [1n, 2n]);
});

test("nothing is sealed that a transaction under way could still be put in front of", async (t) => {
  const f = await fixture(t, { connectionsMax: 8 });
  let go: () => void = () => {};
  const held = new Promise<void>((resolve) => {
    go = resolve;
  });
  let begun: () => void = () => {};
  const written = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const slow = f.ctx.db.transaction().execute(async (db) => {
    // Takes a lower id than the transfer that commits before it; touches no balance that the other one needs.
    await postTransfer(
      { ...f.ctx, db },
      {
        key: "slow",
        code: "writeoff.unfunded",
        ownerId: f.userId,
        money: { currency: CURRENCY, nanos: 1n },
        at: f.now(),
      },
    );
    begun();
    await held;
  });
  await written;
  await topUp(f, "fast");
  assert.deepEqual(await sealTransfers(f.ctx), { seals: 0, transfers: 0 });
  go();
  await slow;
  assert.deepEqual(await sealTransfers(f.ctx), { seals: 1, transfers: 2 });
  assert.deepEqual((await verifySeals(f.ctx)).broken, []);
});

test("workers that seal and gateways that charge at once leave one whole chain", async (t) => {
  const f = await fixture(t, { connectionsMax: 12 });
  await topUp(f, "first");
  const writers = Array.from({ length: 6 }, async (_, writer) => {
    for (let at = 0; at < 15; at++) await topUp(f, `${writer}-${at}`);
  });
  const sealers = Array.from({ length: 3 }, async () => {
    for (let at = 0; at < 10; at++) await sealTransfers(f.ctx);
  });
  await Promise.all([...writers, ...sealers]);
  await sealTransfers(f.ctx);
  const chain = await verifySeals(f.ctx);
  assert.deepEqual([chain.transfers, chain.broken], [91n, []]);
});

test("the database refuses to change, remove or reorder seals", async (t) => {
  const f = await fixture(t);
  await sealed(f);
  for (const statement of [
    "update ledger_seal set transfers = 1",
    "delete from ledger_seal",
    "truncate ledger_seal",
  ]) {
    await assert.rejects(sql.raw(statement).execute(f.ctx.db), { code: "42501" }, statement);
    const owner = new pg.Client({ connectionString: f.url });
    await owner.connect();
    await assert.rejects(owner.query(statement), { code: "23001" }, statement);
    await owner.end();
  }
  const gap =
    "insert into ledger_seal select number + 1, upto_id + 5, upto_id + 9, 1, digest, sealed_at from ledger_seal where number = 2";
  await assert.rejects(sql.raw(gap).execute(f.ctx.db), { code: "23001" });
});

test("the bytes that a seal covers have one form for ever", () => {
  const at = 1_772_359_200_000_000n;
  const entry = {
    accountId: 7n,
    kind: "user",
    ownerId: "o",
    accountCurrency: "USD",
    currency: "USD",
    amount: 5n,
    atMicros: at,
  };
  const line = canonicalTransfer({
    ...{ id: 3n, key: 'k"', code: "topup.card", currency: "USD", amount: 5n, holdId: null, atMicros: at },
    entries: [{ line: 1, ...entry }],
  });
  assert.equal(
    line,
    '["3","k\\"","topup.card","USD","5","","1772359200000000",[["1","7","user","o","USD","USD","5","1772359200000000"]]]\n',
  );
});
