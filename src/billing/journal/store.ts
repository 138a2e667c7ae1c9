/** The statement that reads the ledger as a journal. */
import { sql } from "kysely";
import type { DbCtx } from "../../db/db.ts";
import type { MonthRange } from "./month.ts";

export interface JournalRow {
  readonly transferId: bigint;
  readonly line: number;
  readonly at: Date;
  readonly code: string;
  readonly kind: string;
  /** Null: the installation's own. */
  readonly ownerId: string | null;
  readonly currency: string;
  /** Signed as the ledger has it: what the account gained. */
  readonly nanos: bigint;
  readonly key: string;
}

/** The last line of the page before. */
export interface JournalCursor {
  readonly transferId: bigint;
  readonly line: number;
}

/** By transfer and line, along the primary key: a page costs what it holds once the month has begun. */
export async function selectJournal(
  ctx: DbCtx,
  input: MonthRange & { readonly after: JournalCursor | undefined; readonly limit: number },
): Promise<readonly JournalRow[]> {
  const { from, to, after, limit } = input;
  const { rows } = await sql<JournalRow>`
    select e.transfer_id as "transferId", e.line, e.at, t.code, a.kind, e.currency, e.amount as nanos, t.key,
      nullif(a.owner_id, '00000000-0000-0000-0000-000000000000') as "ownerId"
    from ledger_entry e join ledger_transfer t on t.id = e.transfer_id join ledger_account a on a.id = e.account_id
    where e.at >= ${from} and e.at < ${to}
      and (e.transfer_id, e.line) > (${after?.transferId ?? 0n}, ${after?.line ?? 0}::int)
    order by e.transfer_id, e.line limit ${limit}`.execute(ctx.db);
  return rows;
}
