/** Every statement on rate_window. */
import { sql } from "kysely";
import type { Db, DbCtx } from "../db/db.ts";

interface RateWindowTable {
  caller_hash: Buffer;
  starts_at: Date;
  requests: bigint;
}

type Tables = { rate_window: RateWindowTable };

const tables = (db: Db) => db.withTables<Tables>();

export interface WindowCount {
  readonly callerHash: Buffer;
  readonly startsAt: Date;
  readonly requests: bigint;
}

/** Adds counts, and returns the sums over all processes. Rows are touched in one order, so that two processes never wait for each other in a circle. */
async function addCounts(ctx: DbCtx, counts: readonly WindowCount[]): Promise<readonly WindowCount[]> {
  if (counts.length === 0) return [];
  const sorted = counts.toSorted(
    (a, b) => Buffer.compare(a.callerHash, b.callerHash) || a.startsAt.getTime() - b.startsAt.getTime(),
  );
  const rows = await tables(ctx.db)
    .insertInto("rate_window")
    .values(
      sorted.map((count) => ({
        caller_hash: count.callerHash,
        starts_at: count.startsAt,
        requests: count.requests,
      })),
    )
    .onConflict((conflict) =>
      conflict
        .columns(["caller_hash", "starts_at"])
        .doUpdateSet({ requests: sql`rate_window.requests + excluded.requests` }),
    )
    .returning(["caller_hash", "starts_at", "requests"])
    .execute();
  return rows.map((row) => ({
    callerHash: row.caller_hash,
    startsAt: row.starts_at,
    requests: BigInt(row.requests),
  }));
}

async function deleteWindowsBefore(ctx: DbCtx, before: Date): Promise<void> {
  await tables(ctx.db).deleteFrom("rate_window").where("starts_at", "<", before).execute();
}

/** Where counts are exchanged. */
export interface CountStore {
  /** Adds counts and returns what all processes counted in those windows by then. */
  add(counts: readonly WindowCount[]): Promise<readonly WindowCount[]>;
  deleteBefore(moment: Date): Promise<void>;
}

/** The table, asked anew at each call. */
export function countStore(ctx: DbCtx): CountStore {
  return {
    add: (counts) => addCounts(ctx, counts),
    deleteBefore: async (moment) => void (await deleteWindowsBefore(ctx, moment)),
  };
}
