/** Every statement on idempotency_key. */
import type { Selectable } from "kysely";
import { sql } from "kysely";
import type { Db, DbCtx, TxCtx } from "../db/db.ts";

interface IdempotencyKeyTable {
  scope_hash: Buffer;
  request_hash: Buffer;
  attempt: string;
  lease_until: Date;
  answer: Buffer | null;
  expires_at: Date;
}

type Tables = { idempotency_key: IdempotencyKeyTable };
export type KeyRow = Selectable<IdempotencyKeyTable>;

/** A run of a call: who it is, and how long it is believed to be alive. */
export interface Run {
  readonly scopeHash: Buffer;
  readonly requestHash: Buffer;
  readonly attempt: string;
  readonly leaseUntil: Date;
  readonly expiresAt: Date;
}

const tables = (db: Db) => db.withTables<Tables>();

/** Claims a scope that nobody used; false when somebody did. */
export async function insertRun(ctx: DbCtx, run: Run): Promise<boolean> {
  const done = await tables(ctx.db)
    .insertInto("idempotency_key")
    .values({ scope_hash: run.scopeHash, ...columnsOf(run) })
    .onConflict((conflict) => conflict.column("scope_hash").doNothing())
    .executeTakeFirst();
  return (done.numInsertedOrUpdatedRows ?? 0n) > 0n;
}

/** The row of a scope, locked: waits for a run that is about to commit its answer. */
export function lockKey(tx: TxCtx, scopeHash: Buffer): Promise<KeyRow | undefined> {
  return tables(tx.db)
    .selectFrom("idempotency_key")
    .selectAll()
    .where("scope_hash", "=", scopeHash)
    .forUpdate()
    .executeTakeFirst();
}

/** Gives a scope to another run, without an answer. */
export async function replaceRun(tx: TxCtx, run: Run): Promise<void> {
  await tables(tx.db)
    .updateTable("idempotency_key")
    .set({ ...columnsOf(run), answer: null })
    .where("scope_hash", "=", run.scopeHash)
    .execute();
}

/** Writes the answer of the run that still holds the scope; false when another took it. */
export async function updateAnswer(ctx: DbCtx, run: Run, sealed: Buffer): Promise<boolean> {
  const done = await tables(ctx.db)
    .updateTable("idempotency_key")
    .set({ answer: sealed })
    .where("scope_hash", "=", run.scopeHash)
    .where("attempt", "=", run.attempt)
    .where("answer", "is", null)
    .executeTakeFirst();
  return done.numUpdatedRows > 0n;
}

/** Forgets a run that has no answer. */
export async function deleteRun(ctx: DbCtx, run: Run): Promise<void> {
  await tables(ctx.db)
    .deleteFrom("idempotency_key")
    .where("scope_hash", "=", run.scopeHash)
    .where("attempt", "=", run.attempt)
    .where("answer", "is", null)
    .execute();
}

/** Forgets what ended before `now`, at most `limit` rows, oldest first; returns how many. */
export async function deleteExpired(ctx: DbCtx, now: Date, limit: number): Promise<number> {
  const done = await sql`delete from idempotency_key where scope_hash in (
    select scope_hash from idempotency_key where expires_at <= ${now} order by expires_at limit ${limit}
    for update skip locked)`.execute(ctx.db);
  return Number(done.numAffectedRows ?? 0n);
}

function columnsOf(run: Run) {
  return {
    request_hash: run.requestHash,
    attempt: run.attempt,
    lease_until: run.leaseUntil,
    expires_at: run.expiresAt,
  };
}
