/** Running a rule, and what checks found before. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";
import type { BookCheck, Finding } from "./model.ts";
import type { Rule } from "./rules.ts";

/** Of one statement of a check: it reads all there is, which takes longer than a request may. */
const STATEMENT_MAX_MS = 30 * 60_000;

/** Runs `work` over one snapshot of the whole database, in which nothing is written. */
export function overSnapshot<T>(ctx: DbCtx, work: (tx: TxCtx) => Promise<T>): Promise<T> {
  return ctx.db
    .transaction()
    .setIsolationLevel("repeatable read")
    .setAccessMode("read only")
    .execute(async (db) => {
      await sql`select set_config('statement_timeout', ${String(STATEMENT_MAX_MS)}, true)`.execute(db);
      return work({ ...ctx, db });
    });
}

/** What a rule finds; undefined where there is nothing. */
export async function findBy(
  tx: TxCtx,
  rule: Rule,
  now: Date,
  examplesMax: number,
): Promise<Finding | undefined> {
  const { rows } = await sql<{ count: bigint; examples: string[] | null }>`
    with wrong as (${rule.find(now)})
    select (select count(*) from wrong) as count, (select array_agg(name) from (select name from wrong order by 1 limit ${examplesMax}) few) as examples`.execute(
    tx.db,
  );
  const [row] = rows;
  if (!row || row.count === 0n) return undefined;
  return { check: rule.check, what: rule.what, count: Number(row.count), examples: row.examples ?? [] };
}

export async function countTransfers(tx: TxCtx): Promise<bigint> {
  const { rows } = await sql<{ count: bigint }>`select count(*) as count from ledger_transfer`.execute(tx.db);
  return rows[0]?.count ?? 0n;
}

export async function insertCheck(ctx: DbCtx, check: BookCheck): Promise<void> {
  await sql`
    insert into ledger_check (id, started_at, finished_at, transfers, sealed_transfers, head, findings)
    values (${ctx.random.uuid()}, ${check.startedAt}, ${check.finishedAt}, ${check.transfers}, ${check.sealedTransfers}, ${check.head},
      ${JSON.stringify(check.findings)}::jsonb)`.execute(ctx.db);
}

/** The newest check; undefined before the first. */
export async function lastCheck(ctx: DbCtx): Promise<BookCheck | undefined> {
  const { rows } = await sql<BookCheck>`
    select started_at as "startedAt", finished_at as "finishedAt", transfers, sealed_transfers as "sealedTransfers", head, findings
    from ledger_check order by finished_at desc limit 1`.execute(ctx.db);
  return rows[0];
}
