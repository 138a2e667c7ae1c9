/** Every statement on disputes. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";

export interface DisputeRow {
  readonly processor: string;
  readonly disputeId: string;
  readonly userId: string;
  readonly amountNanos: bigint;
  readonly currency: string;
  readonly status: string;
  /** True while its amount is out of our books. */
  readonly taken: boolean;
  /** How often it was taken and given back. */
  readonly moves: number;
  readonly version: number;
}

const COLUMNS = sql`
  processor, dispute_id as "disputeId", user_id as "userId", amount as "amountNanos", currency, status, taken, moves, version`;

interface DisputeKey {
  readonly processor: string;
  readonly disputeId: string;
}

export async function selectDispute(ctx: DbCtx, key: DisputeKey): Promise<DisputeRow | undefined> {
  const { rows } = await sql<DisputeRow>`
    select ${COLUMNS} from payment_dispute where processor = ${key.processor} and dispute_id = ${key.disputeId}`.execute(
    ctx.db,
  );
  return rows[0];
}

/** Locks the row, made if it is missing, until the transaction ends. */
export async function lockDispute(
  tx: TxCtx,
  dispute: DisputeKey & {
    readonly intentId: string;
    readonly userId: string;
    readonly amountNanos: bigint;
    readonly currency: string;
    readonly status: string;
    readonly reason: string;
    readonly at: Date;
  },
): Promise<DisputeRow | undefined> {
  await sql`
    insert into payment_dispute
      (processor, dispute_id, intent_id, user_id, amount, currency, status, reason, taken, created_at, updated_at)
    values (${dispute.processor}, ${dispute.disputeId}, ${dispute.intentId}, ${dispute.userId}, ${dispute.amountNanos},
      ${dispute.currency}, ${dispute.status}, ${dispute.reason}, false, ${dispute.at}, ${dispute.at})
    on conflict do nothing`.execute(tx.db);
  const { rows } = await sql<DisputeRow>`
    select ${COLUMNS} from payment_dispute where processor = ${dispute.processor} and dispute_id = ${dispute.disputeId}
    for update`.execute(tx.db);
  return rows[0];
}

export async function updateDispute(
  tx: TxCtx,
  key: DisputeKey,
  change: { readonly status: string; readonly taken: boolean; readonly moves: number; readonly at: Date },
): Promise<void> {
  await sql`
    update payment_dispute set status = ${change.status}, taken = ${change.taken}, moves = ${change.moves},
      updated_at = ${change.at}, version = version + 1
    where processor = ${key.processor} and dispute_id = ${key.disputeId}`.execute(tx.db);
}
