import { type Kysely, sql, type Transaction } from "kysely";
import type { BaseCtx } from "../base/ctx.ts";

/**
 * A database handle that knows no table. Each domain's store narrows it with
 * `ctx.db.withTables<ItsTables>()`, so that no domain sees another's tables.
 */
// biome-ignore lint/complexity/noBannedTypes: kysely spells "no tables" as {}
export type Db = Kysely<{}>;
// biome-ignore lint/complexity/noBannedTypes: as above
export type Tx = Transaction<{}>;

export interface DbCtx extends BaseCtx {
  readonly db: Db;
}

/** A ctx whose db is an open transaction: for functions that must not run outside one. */
export interface TxCtx extends BaseCtx {
  readonly db: Tx;
}

/** Serialization failure and deadlock: the transaction did nothing and may run again. */
const RETRYABLE = new Set(["40001", "40P01"]);
const ATTEMPTS_MAX = 5;

/** Runs `work` in one transaction (joining the one that ctx already holds) and repeats it on a deadlock. */
export async function withTransaction<C extends DbCtx, T>(
  ctx: C,
  work: (tx: C & TxCtx) => Promise<T>,
): Promise<T> {
  if (ctx.db.isTransaction) return work(ctx as C & TxCtx);
  for (let attempt = 1; ; attempt++) {
    try {
      return await ctx.db.transaction().execute((db) => work({ ...ctx, db }));
    } catch (error) {
      if (attempt >= ATTEMPTS_MAX || !RETRYABLE.has(sqlState(error))) throw error;
      ctx.log.debug({ attempt, sqlState: sqlState(error) }, "transaction repeated");
    }
  }
}

/** The SQLSTATE of a Postgres error, or "" for anything else. */
export function sqlState(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
}

/** The constraint that a Postgres error names, or "". */
export function constraintOf(error: unknown): string {
  return typeof error === "object" && error !== null && "constraint" in error ? String(error.constraint) : "";
}

export const UNIQUE_VIOLATION = "23505";

/** Wakes listeners of a channel when the surrounding transaction commits. Payloads hold ids, never secrets. */
export async function notify(ctx: DbCtx, channel: string, payload = ""): Promise<void> {
  await sql`select pg_notify(${channel}, ${payload})`.execute(ctx.db);
}
