import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import type { Log } from "../base/log.ts";
import type { Db } from "./db.ts";

// int8 as bigint: money and counters outgrow a double. numeric stays text.
pg.types.setTypeParser(pg.types.builtins.INT8, BigInt);

export interface PoolOptions {
  /** postgres:// URL or a URL with a socket directory in `host`. */
  readonly url: string;
  readonly connectionsMax: number;
  /** Role that every session works as; absent = the URL's own user (migrations, which own the tables). */
  readonly role?: string;
  /** Longest time of a statement; 0 = any, for migrations of large tables. A minute unless said. */
  readonly statementMaxMs?: number;
  readonly log: Log;
}

export interface Database {
  readonly db: Db;
  readonly pool: pg.Pool;
  close(): Promise<void>;
}

/** What the program works as; migrations/0000_installation.sql makes it. */
export const APP_ROLE = "slipway_app";

/** A request's statement that takes longer is a bug, and is ended. */
const STATEMENT_MAX_MS = 60_000;

/** Opens a pool. */
export function openDatabase(options: PoolOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.connectionsMax,
    connectionTimeoutMillis: 10_000,
    statement_timeout: options.statementMaxMs ?? STATEMENT_MAX_MS,
    idle_in_transaction_session_timeout: 60_000,
    application_name: "slipway",
    ...(options.role === undefined ? {} : { options: `-c role=${options.role}` }),
  });
  // The error carries its whole connection: only its words are for the log.
  pool.on("error", (error) =>
    options.log.warn({ reason: error.message }, "an idle database connection was lost"),
  );
  // A server that dies tells so on connections in use too. Their statements fail by themselves; without a listener the process would.
  pool.on("connect", (client) => client.on("error", () => {}));
  // biome-ignore lint/complexity/noBannedTypes: kysely spells "no tables" as {}
  const db = new Kysely<{}>({ dialect: new PostgresDialect({ pool }) });
  return { db, pool, close: () => db.destroy() };
}
