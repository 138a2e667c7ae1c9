import assert from "node:assert/strict";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sql } from "kysely";
import { MIGRATIONS, testDatabase } from "../../test/support/postgres.ts";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { withTransaction } from "./db.ts";
import { migrate } from "./migrate.ts";
import { openDatabase } from "./pool.ts";

const base = { clock: systemClock, random: systemRandom, log: silentLog };

test("the program's sessions work as a role that owns no table", async (t) => {
  const { db } = await testDatabase(t);
  const { rows } = await sql<{ role: string }>`select current_user as role`.execute(db);
  assert.equal(rows[0]?.role, "slipway_app");
  await assert.rejects(sql`create table mine (id int)`.execute(db), { code: "42501" });
});

test("a transaction that fails leaves nothing behind, and a deadlocked one is run again", async (t) => {
  const { db, url } = await testDatabase(t);
  const owner = openDatabase({ url, connectionsMax: 2, log: silentLog });
  t.after(() => owner.close());
  await sql`create table seat (id int primary key, taken int not null default 0)`.execute(owner.db);
  await sql`insert into seat values (1), (2)`.execute(owner.db);
  const ctx = { ...base, db };
  await assert.rejects(
    withTransaction(ctx, async (tx) => {
      await sql`update seat set taken = 100`.execute(tx.db);
      throw new Error("stop");
    }),
    /stop/,
  );
  let runs = 0;
  // Each takes its first seat and waits until the other has one too: then neither can have its second.
  const bothHaveOne = Promise.withResolvers<void>();
  const take = (first: number, second: number) =>
    withTransaction(ctx, async (tx) => {
      await sql`update seat set taken = taken + 1 where id = ${first}`.execute(tx.db);
      if (++runs === 2) bothHaveOne.resolve();
      await bothHaveOne.promise;
      await sql`update seat set taken = taken + 1 where id = ${second}`.execute(tx.db);
    });
  await Promise.all([take(1, 2), take(2, 1)]);
  const { rows } = await sql<{ taken: number }>`select taken from seat order by id`.execute(db);
  assert.deepEqual(rows, [{ taken: 2 }, { taken: 2 }]);
  assert.ok(runs >= 3, "the deadlock's victim ran twice");
});

test("an int8 comes back as a bigint, whole", async (t) => {
  const { db } = await testDatabase(t);
  const { rows } = await sql<{ big: bigint }>`select 9007199254740993::int8 as big`.execute(db);
  assert.equal(rows[0]?.big, 9007199254740993n);
});

test("a program that is older than the database says so and changes nothing; a file that fails leaves nothing behind", async (t) => {
  const { url } = await testDatabase(t);
  const owner = openDatabase({ url, connectionsMax: 1, log: silentLog });
  t.after(() => owner.close());
  const folder = await mkdtemp(join(tmpdir(), "slipway-migrations-"));
  t.after(() => rm(folder, { recursive: true }));
  await cp(MIGRATIONS, folder, { recursive: true });
  await writeFile(join(folder, "9998_new.sql"), "create table new_table (id int)");
  await writeFile(join(folder, "9999_bad.sql"), "create table bad_table (id int); select 1 / 0");
  const tables = async () => {
    const { rows } = await sql<{ name: string }>`
      select table_name as name from information_schema.tables where table_name in ('new_table', 'bad_table')`.execute(
      owner.db,
    );
    return rows.map(({ name }) => name);
  };
  await assert.rejects(migrate(owner.db, folder), { reason: "CONFIG_INVALID", message: /9999_bad/ });
  assert.ok(!(await tables()).includes("bad_table"));
  await rm(join(folder, "9999_bad.sql"));
  await migrate(owner.db, folder);
  assert.deepEqual(await tables(), ["new_table"]);
  await assert.rejects(migrate(owner.db, MIGRATIONS), {
    reason: "CONFIG_INVALID",
    message: /newer version.*9998_new/,
  });
  assert.deepEqual(await tables(), ["new_table"]);
});
