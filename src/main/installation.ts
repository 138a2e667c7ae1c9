/**
 * What every role of one installation stands on: its home, its secret, its database brought up to date. Opened once a
 * process, closed last.
 */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sql } from "kysely";
import { check, lock } from "proper-lockfile";
import type { BaseCtx } from "../base/ctx.ts";
import { sha256 } from "../base/id.ts";
import { type SecretBox, secretBox } from "../base/seal.ts";
import { StatusError } from "../base/status.ts";
import type { Db, DbCtx } from "../db/db.ts";
import { runningEmbedded, startEmbedded } from "../db/embedded.ts";
import { migrate } from "../db/migrate.ts";
import { APP_ROLE, openDatabase } from "../db/pool.ts";
import type { Config } from "./config.ts";
import { MIGRATIONS } from "./paths.ts";

const CONNECTIONS_MAX = 20;
const SECRET_BYTES = 32;
/** A lock not refreshed for so long belonged to a process that was killed. */
const HOME_LOCK_STALE_MS = 10_000;

export interface Installation {
  readonly config: Config;
  readonly home: string;
  /** The database as the program's role. */
  readonly ctx: DbCtx;
  readonly box: SecretBox;
  readonly databaseUrl: string;
  close(): Promise<void>;
}

export interface OpenOptions {
  /** A short command beside a process that serves from the same home: it uses that one's embedded database, and leaves it be. */
  readonly beside?: boolean;
}

/** Opens the installation; everything that was opened is closed again when a later part fails. */
export async function openInstallation(
  config: Config,
  base: BaseCtx,
  options: OpenOptions = {},
): Promise<Installation> {
  const undo: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    await mkdir(config.SLIPWAY_HOME, { recursive: true });
    const databaseUrl = config.DATABASE_URL ?? (await embeddedUrl(config, base, undo, options));
    await migrateAsOwner(databaseUrl, base);
    const database = openDatabase({
      url: databaseUrl,
      connectionsMax: CONNECTIONS_MAX,
      log: base.log,
      role: APP_ROLE,
    });
    undo.push(database.close);
    const secret = await secretOf(config);
    await checkFingerprint(database.db, secret);
    return {
      config,
      home: config.SLIPWAY_HOME,
      ctx: { ...base, db: database.db },
      box: secretBox(secret),
      databaseUrl,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** One embedded database serves one process group: a second one in the same home is told so. */
async function embeddedUrl(
  config: Config,
  base: BaseCtx,
  undo: (() => Promise<unknown>)[],
  { beside }: OpenOptions,
): Promise<string> {
  const home = config.SLIPWAY_HOME;
  const running = beside ? await runningEmbedded(home) : undefined;
  if (running) return running("postgres");
  const options = { stale: HOME_LOCK_STALE_MS, lockfilePath: join(home, "serving.lock") };
  const unlock = await lock(home, {
    ...options,
    retries: { retries: 12, minTimeout: 1_000, maxTimeout: 1_000 },
  }).catch(async (cause: unknown) => {
    const held = await check(home, options).catch(() => false);
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "CONFIG_INVALID",
      message: held
        ? `Another Slipway serves from ${home}. Stop it, or give this one its own SLIPWAY_HOME or a DATABASE_URL.`
        : `The home ${home} can't be locked. Is it writable?`,
      cause,
    });
  });
  undo.push(unlock);
  const postgres = await startEmbedded({ home, log: base.log, clock: base.clock });
  undo.push(postgres.stop);
  return postgres.url("postgres");
}

async function migrateAsOwner(url: string, base: BaseCtx): Promise<void> {
  const owner = openDatabase({ url, connectionsMax: 2, log: base.log, statementMaxMs: 0 });
  try {
    const done = await migrate(owner.db, MIGRATIONS);
    if (done.length > 0) base.log.info({ migrations: done }, "database brought up to date");
  } finally {
    await owner.close();
  }
}

/** The operator's key, or one of our own in a file that only its owner may read. */
async function secretOf(config: Config): Promise<string> {
  if (config.SLIPWAY_SECRET_KEY !== undefined) return config.SLIPWAY_SECRET_KEY;
  const file = join(config.SLIPWAY_HOME, "secret.key");
  const kept = await readFile(file, "utf8").catch(() => undefined);
  if (kept !== undefined) return kept.trim();
  const made = randomBytes(SECRET_BYTES).toString("hex");
  await writePrivate(file, `${made}\n`);
  return made;
}

/** Writes a file that only its owner may read, whole or not at all. */
export async function writePrivate(file: string, text: string): Promise<void> {
  const draft = `${file}.${process.pid}.draft`;
  await writeFile(draft, text, { mode: 0o600 });
  await chmod(draft, 0o600);
  await rename(draft, file);
}

/** What was sealed under one key can't be opened under another: a wrong key is told at the start, not at the first call. */
async function checkFingerprint(db: Db, secret: string): Promise<void> {
  const fingerprint = sha256(`fingerprint:${secret}`).toString("hex").slice(0, 16);
  const { rows } = await sql<{ secret_fingerprint: string }>`
    with added as (
      insert into secret_key (only_row, secret_fingerprint) values (true, ${fingerprint})
      on conflict (only_row) do nothing returning secret_fingerprint
    )
    select secret_fingerprint from added union all select secret_fingerprint from secret_key limit 1`.execute(
    db,
  );
  if (rows[0]?.secret_fingerprint === fingerprint) return;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message:
      "This database's secrets were sealed under another key. Give the SLIPWAY_SECRET_KEY that it was set up with.",
  });
}
