/**
 * A real Postgres for tests: one embedded cluster a process (or the one that the test runner started, named by
 * SLIPWAY_TEST_DATABASE), one template database a set of migrations, one clone of it a call.
 */
import { createHash, randomBytes } from "node:crypto";
import { chmod, copyFile, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Db } from "../../src/db/db.ts";
import { startEmbedded } from "../../src/db/embedded.ts";
import { migrate } from "../../src/db/migrate.ts";
import { APP_ROLE, openDatabase } from "../../src/db/pool.ts";
import { type Cleanup, undoAfter } from "./cleanup.ts";

export const MIGRATIONS = fileURLToPath(new URL("../../migrations", import.meta.url));

export interface TestDatabase {
  /** Works as the program's own role. */
  readonly db: Db;
  readonly pool: pg.Pool;
  /** URL as the tables' owner; give `role: APP_ROLE` to openDatabase for what the program may do. */
  readonly url: string;
}

/** A freshly migrated database of the test's own, dropped when the test ends. */
export async function testDatabase(
  t: Cleanup,
  options: { connectionsMax?: number } = {},
): Promise<TestDatabase> {
  const urlOf = await cluster();
  const template = await templateDatabase(urlOf);
  const name = `t_${randomBytes(6).toString("hex")}`;
  await asAdmin(urlOf("postgres"), (admin) => admin.query(`create database ${name} template ${template}`));
  const url = urlOf(name);
  const database = openDatabase({
    url,
    connectionsMax: options.connectionsMax ?? 5,
    log: silentLog,
    role: APP_ROLE,
  });
  undoAfter(t, async () => {
    await database.close();
    await asAdmin(urlOf("postgres"), (admin) => admin.query(`drop database if exists ${name} with (force)`));
  });
  return { db: database.db, pool: database.pool, url };
}

export interface OldDatabase {
  /** Works as the tables' owner. */
  readonly db: Db;
  readonly url: string;
  /** Brings the schema up to date. */
  migrate(): Promise<void>;
}

/** A database of the test's own as it was before a migration (the beginning of its file's name), dropped when the test ends. */
export async function databaseBefore(t: Cleanup, migration: string): Promise<OldDatabase> {
  const urlOf = await cluster();
  const name = `t_${randomBytes(6).toString("hex")}`;
  await asAdmin(urlOf("postgres"), (admin) => admin.query(`create database ${name}`));
  const url = urlOf(name);
  const folder = await mkdtemp(join(tmpdir(), "slipway-migrations-"));
  const database = openDatabase({ url, connectionsMax: 2, log: silentLog });
  undoAfter(t, async () => {
    await database.close();
    await asAdmin(urlOf("postgres"), (admin) => admin.query(`drop database if exists ${name} with (force)`));
    await rm(folder, { recursive: true, force: true });
  });
  const before = (await readdir(MIGRATIONS)).filter((file) => file.endsWith(".sql") && file < migration);
  for (const file of before) await copyFile(join(MIGRATIONS, file), join(folder, file));
  await migrate(database.db, folder);
  return {
    ...{ db: database.db, url },
    async migrate() {
      await migrate(database.db, MIGRATIONS);
    },
  };
}

/** Stops the cluster that this process started; the test runner does it by itself, a bench calls it. */
export async function stopTestCluster(): Promise<void> {
  const stopNow = stop;
  stop = undefined;
  await stopNow?.();
}

type UrlOf = (database: string) => string;
let shared: Promise<UrlOf> | undefined;
let stop: (() => Promise<void>) | undefined;
after(stopTestCluster);

function cluster(): Promise<UrlOf> {
  shared ??= startCluster();
  return shared;
}

async function startCluster(): Promise<UrlOf> {
  const given = process.env.SLIPWAY_TEST_DATABASE;
  if (given) return (database) => withDatabase(given, database);
  const home = await mkdtemp(join(tmpdir(), "slipway-test-"));
  await chmod(home, 0o755); // the server runs as another user and must be able to enter
  const postgres = await startEmbedded({
    home,
    log: silentLog,
    clock: systemClock,
    durable: false,
    connectionsMax: 200,
  });
  stop = async () => {
    await postgres.stop();
    await rm(home, { recursive: true, force: true });
  };
  return postgres.url;
}

function withDatabase(url: string, database: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${database}`;
  return parsed.toString();
}

let template: Promise<string> | undefined;

function templateDatabase(urlOf: UrlOf): Promise<string> {
  template ??= makeTemplate(urlOf);
  return template;
}

/** One template for each content of the migrations folder; test processes that share a cluster take turns. */
async function makeTemplate(urlOf: UrlOf): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(MIGRATIONS)).sort())
    hash.update(name).update(await readFile(join(MIGRATIONS, name)));
  const name = `template_${hash.digest("hex").slice(0, 16)}`;
  await asAdmin(urlOf("postgres"), async (admin) => {
    await admin.query("select pg_advisory_lock(77)");
    const found = await admin.query("select 1 from pg_database where datname = $1 and datallowconn = false", [
      name,
    ]);
    if (found.rowCount) return;
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.query(`create database ${name}`);
    const database = openDatabase({ url: urlOf(name), connectionsMax: 2, log: silentLog });
    try {
      await migrate(database.db, MIGRATIONS);
    } finally {
      await database.close();
    }
    await admin.query(`alter database ${name} allow_connections false`);
  });
  return name;
}

async function asAdmin(url: string, work: (admin: pg.Client) => Promise<unknown>): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}
