/** Statements on what sweeps found. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";
import { tables } from "./tables.ts";

export interface SweepRow {
  readonly driver: string;
  readonly sweptAt: Date;
  readonly listed: number;
  readonly blocked: boolean;
}

export async function keepSweep(ctx: DbCtx, { driver, sweptAt, listed, blocked }: SweepRow): Promise<void> {
  const found = { swept_at: sweptAt, listed, blocked };
  await tables(ctx.db)
    .insertInto("machine_sweep")
    .values({ driver, ...found })
    .onConflict((conflict) => conflict.column("driver").doUpdateSet(found))
    .execute();
}

export async function selectSweeps(ctx: DbCtx): Promise<readonly SweepRow[]> {
  const rows = await tables(ctx.db).selectFrom("machine_sweep").selectAll().orderBy("driver").execute();
  return rows.map(({ driver, swept_at, listed, blocked }) => ({
    driver,
    sweptAt: swept_at,
    listed,
    blocked,
  }));
}

/** Machines without an owner since before then, by driver. */
export async function countUnowned(ctx: DbCtx, before: Date): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ driver: string; count: number }>`
    select driver, count(*)::int as count from unowned_machine
    where first_seen_at < ${before} group by driver`.execute(ctx.db);
  return new Map(rows.map(({ driver, count }) => [driver, count]));
}
