/** Every statement on seals. */
import { sql } from "kysely";
import type { DbCtx } from "../../../db/db.ts";
import { GENESIS, type SealedTransfer } from "./canonical.ts";

/** One link of the chain. */
export interface Seal {
  readonly number: bigint;
  readonly afterId: bigint;
  readonly uptoId: bigint;
  readonly transfers: bigint;
  readonly digest: Buffer;
}

/** What the first seal follows. */
export const NO_SEAL: Seal = { number: 0n, afterId: 0n, uptoId: 0n, transfers: 0n, digest: GENESIS };

const COLUMNS = sql`number, after_id as "afterId", upto_id as "uptoId", transfers, digest`;

/** The newest seal. */
export async function selectLastSeal(ctx: DbCtx): Promise<Seal> {
  const { rows } = await sql<Seal>`
    select ${COLUMNS} from ledger_seal order by number desc limit 1`.execute(ctx.db);
  return rows[0] ?? NO_SEAL;
}

export async function selectSeals(ctx: DbCtx, after: bigint, limit: number): Promise<readonly Seal[]> {
  const { rows } = await sql<Seal>`
    select ${COLUMNS} from ledger_seal where number > ${after} order by number limit ${limit}`.execute(
    ctx.db,
  );
  return rows;
}

/** False when another worker has written this number. */
export async function insertSeal(ctx: DbCtx, seal: Seal, at: Date): Promise<boolean> {
  const { numAffectedRows } = await sql`
    insert into ledger_seal (number, after_id, upto_id, transfers, digest, sealed_at)
    values (${seal.number}, ${seal.afterId}, ${seal.uptoId}, ${seal.transfers}, ${seal.digest}, ${at})
    on conflict do nothing`.execute(ctx.db);
  return numAffectedRows === 1n;
}

/** The highest id that was given to a transfer, whether or not its transaction has ended. */
export async function selectLastGivenId(ctx: DbCtx): Promise<bigint> {
  const { rows } = await sql<{ id: bigint }>`
    select case when is_called then last_value else last_value - 1 end as id from ledger_transfer_id_seq`.execute(
    ctx.db,
  );
  return rows[0]?.id ?? 0n;
}

/**
 * Transactions that may have written a transfer and have not ended. Whoever takes an id from the sequence has locked the table for
 * writing before, and keeps that lock until its rows are visible to everybody or gone.
 */
export async function selectWriters(
  ctx: DbCtx,
  among: readonly string[] | undefined,
): Promise<readonly string[]> {
  const { rows } = await sql<{ writer: string }>`
    select distinct virtualtransaction || '/' || coalesce(pid, 0) as writer from pg_locks
    where locktype = 'relation' and relation = 'ledger_transfer'::regclass and mode = 'RowExclusiveLock' and granted
      and database = (select oid from pg_database where datname = current_database())`.execute(ctx.db);
  const writers = rows.map((row) => row.writer);
  return among === undefined ? writers : writers.filter((writer) => among.includes(writer));
}

/** Committed transfers of a span with their entries, by id. */
export async function selectTransfers(
  ctx: DbCtx,
  input: { readonly afterId: bigint; readonly uptoId: bigint; readonly limit: number },
): Promise<readonly SealedTransfer[]> {
  const { rows } = await sql<TransferRow>`
    select t.id, t.key, t.code, t.currency, t.amount, t.hold_id as "holdId", (extract(epoch from t.at) * 1000000)::bigint as "atMicros",
      coalesce((select jsonb_agg(jsonb_build_array(e.line, e.account_id::text, coalesce(a.kind, ''), coalesce(a.owner_id::text, ''),
          coalesce(a.currency, ''), e.currency, e.amount::text, ((extract(epoch from e.at) * 1000000)::bigint)::text) order by e.line)
        from ledger_entry e left join ledger_account a on a.id = e.account_id where e.transfer_id = t.id), '[]') as entries
    from ledger_transfer t where t.id > ${input.afterId} and t.id <= ${input.uptoId} order by t.id limit ${input.limit}`.execute(
    ctx.db,
  );
  return rows.map(({ entries, ...row }) => ({ ...row, entries: entries.map(entryFrom) }));
}

type EntryRow = readonly [number, string, string, string, string, string, string, string];

interface TransferRow extends Omit<SealedTransfer, "entries"> {
  readonly entries: readonly EntryRow[];
}

function entryFrom(row: EntryRow) {
  const [line, accountId, kind, ownerId, accountCurrency, currency, amount, atMicros] = row;
  return {
    ...{ line, kind, ownerId, accountCurrency, currency },
    ...{ accountId: BigInt(accountId), amount: BigInt(amount), atMicros: BigInt(atMicros) },
  };
}

/** Transfers that no seal covers yet, and since when the oldest of them waits; null where none does. */
export async function selectUnsealed(
  ctx: DbCtx,
): Promise<{ readonly transfers: bigint; readonly oldestAt: Date | null }> {
  const { rows } = await sql<{ transfers: bigint; oldestAt: Date | null }>`
    select count(*) as transfers, min(at) as "oldestAt" from ledger_transfer
    where id > coalesce((select max(upto_id) from ledger_seal), 0)`.execute(ctx.db);
  return rows[0] ?? { transfers: 0n, oldestAt: null };
}
