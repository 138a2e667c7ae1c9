/** Every statement on payments from cards. */
import { sql } from "kysely";
import type { DbCtx, TxCtx } from "../../db/db.ts";

export type IntentState = "pending" | "succeeded" | "failed" | "requires_action";

/** A payment that was asked for: written before the processor is, and its id is the key there. */
export interface Intent {
  readonly intentId: string;
  readonly key: string;
  readonly userId: string;
  readonly processor: string;
  readonly customerId: string;
  readonly cardId: string;
  readonly amountNanos: bigint;
  readonly currency: string;
  /** `auto`: the automatic top-up, in the user's absence. */
  readonly source: "user" | "auto";
  readonly state: IntentState;
  readonly processorId: string | null;
  /** Why it failed, as reason and public sentence; null where it has not. */
  readonly failureReason: string | null;
  readonly failure: string | null;
  /** Counts the changes of the row. */
  readonly version: number;
  readonly createdAt: Date;
}

const COLUMNS = sql`
  id as "intentId", key, user_id as "userId", processor, customer_id as "customerId", card_id as "cardId",
  amount as "amountNanos", currency, source, state, processor_id as "processorId",
  failure_reason as "failureReason", failure, version, created_at as "createdAt"`;

export type NewIntent = Omit<Intent, "state" | "processorId" | "failureReason" | "failure" | "version">;

/** Adds the intent unless its key is known; returns the one that has the key, and whether it is the new one. */
export async function insertIntent(
  ctx: DbCtx,
  intent: NewIntent,
): Promise<{ readonly intent: Intent; readonly created: boolean }> {
  const { rows: added } = await sql<Intent>`
    insert into payment_intent
      (id, key, user_id, processor, customer_id, card_id, amount, currency, source, state, created_at, updated_at)
    values (${intent.intentId}, ${intent.key}, ${intent.userId}, ${intent.processor}, ${intent.customerId}, ${intent.cardId},
      ${intent.amountNanos}, ${intent.currency}, ${intent.source}, 'pending', ${intent.createdAt}, ${intent.createdAt})
    on conflict (key) do nothing returning ${COLUMNS}`.execute(ctx.db);
  if (added[0]) return { intent: added[0], created: true };
  const { rows } = await sql<Intent>`select ${COLUMNS} from payment_intent where key = ${intent.key}`.execute(
    ctx.db,
  );
  if (rows[0]) return { intent: rows[0], created: false };
  throw new Error("a payment is neither new nor known");
}

/** Locks the intent until the transaction ends. */
export async function lockIntent(tx: TxCtx, intentId: string): Promise<Intent | undefined> {
  const { rows } = await sql<Intent>`
    select ${COLUMNS} from payment_intent where id = ${intentId} for update`.execute(tx.db);
  return rows[0];
}

export async function selectIntent(ctx: DbCtx, intentId: string): Promise<Intent | undefined> {
  const { rows } = await sql<Intent>`select ${COLUMNS} from payment_intent where id = ${intentId}`.execute(
    ctx.db,
  );
  return rows[0];
}

export async function selectIntentByKey(ctx: DbCtx, key: string): Promise<Intent | undefined> {
  const { rows } = await sql<Intent>`select ${COLUMNS} from payment_intent where key = ${key}`.execute(
    ctx.db,
  );
  return rows[0];
}

export async function selectIntentByProcessorId(
  ctx: DbCtx,
  key: { readonly processor: string; readonly processorId: string },
): Promise<Intent | undefined> {
  const { rows } = await sql<Intent>`
    select ${COLUMNS} from payment_intent where processor = ${key.processor} and processor_id = ${key.processorId}`.execute(
    ctx.db,
  );
  return rows[0];
}

export interface IntentChange {
  readonly state: IntentState;
  /** "" leaves what is known. */
  readonly processorId: string;
  readonly failure: { readonly reason: string; readonly why: string } | null;
  readonly transferId: bigint | null;
  readonly at: Date;
}

export async function updateIntent(tx: TxCtx, intentId: string, change: IntentChange): Promise<void> {
  await sql`
    update payment_intent set state = ${change.state}, processor_id = coalesce(nullif(${change.processorId}, ''), processor_id),
      failure = ${change.failure?.why ?? null}, failure_reason = ${change.failure?.reason ?? null},
      transfer_id = ${change.transferId}, updated_at = ${change.at}, version = version + 1
    where id = ${intentId}`.execute(tx.db);
}

/** Puts one that could not be driven on behind the others. What is known of it stays as it is. */
export async function touchIntent(ctx: DbCtx, intentId: string, at: Date): Promise<void> {
  await sql`update payment_intent set updated_at = ${at} where id = ${intentId}`.execute(ctx.db);
}

/** Payments in a state that nobody has touched since `before`, oldest first. */
export async function selectUntouchedIntents(
  ctx: DbCtx,
  input: {
    readonly processor: string;
    readonly state: "pending" | "requires_action";
    readonly before: Date;
    readonly limit: number;
  },
): Promise<readonly Intent[]> {
  const { rows } = await sql<Intent>`
    select ${COLUMNS} from payment_intent
    where state = ${sql.lit(input.state)} and processor = ${input.processor} and updated_at < ${input.before}
    order by updated_at limit ${input.limit}`.execute(ctx.db);
  return rows;
}
