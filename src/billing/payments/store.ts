/** Every statement on customers, cards and payments. */
import { sql } from "kysely";
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import type { Card } from "./processor.ts";

export interface CardOnFile extends Card {
  /** Top-ups use it when none is named. */
  readonly isDefault: boolean;
}

export interface Intent {
  readonly intentId: string;
  readonly key: string;
  readonly userId: string;
  readonly processor: string;
  readonly customerId: string;
  readonly cardId: string;
  readonly amountNanos: bigint;
  readonly currency: string;
  readonly state: "pending" | "succeeded" | "failed" | "requires_action";
  readonly processorId: string | null;
  readonly failure: string | null;
}

interface IntentRow {
  readonly id: string;
  readonly key: string;
  readonly user_id: string;
  readonly processor: string;
  readonly customer_id: string;
  readonly card_id: string;
  readonly amount: bigint;
  readonly currency: string;
  readonly state: Intent["state"];
  readonly processor_id: string | null;
  readonly failure: string | null;
}

export async function selectCustomerId(
  ctx: DbCtx,
  userId: string,
  processor: string,
): Promise<string | undefined> {
  const { rows } = await sql<{ customer_id: string }>`
    select customer_id from payment_customer where user_id = ${userId} and processor = ${processor}`.execute(
    ctx.db,
  );
  return rows[0]?.customer_id;
}

/** Keeps the first of two that were made at once. */
export async function insertCustomer(
  ctx: DbCtx,
  input: { userId: string; processor: string; customerId: string; at: Date },
): Promise<void> {
  await sql`
    insert into payment_customer (user_id, processor, customer_id, created_at)
    values (${input.userId}, ${input.processor}, ${input.customerId}, ${input.at})
    on conflict do nothing`.execute(ctx.db);
}

/** The user's cards, the default one first. */
export async function selectCards(ctx: DbCtx, userId: string): Promise<readonly CardOnFile[]> {
  const { rows } = await sql<CardOnFile>`
    select card_id as "cardId", brand, last4, exp_month as "expMonth", exp_year as "expYear", is_default as "isDefault"
    from payment_card where user_id = ${userId} order by is_default desc, attached_at, card_id`.execute(
    ctx.db,
  );
  return rows;
}

interface CardKey {
  readonly userId: string;
  readonly processor: string;
  readonly cardId: string;
}

/** Locks the user's customer row: of two changes to the cards at once, one waits, so that one card is the default. */
async function lockCards(tx: TxCtx, userId: string, processor: string): Promise<void> {
  await sql`select from payment_customer where user_id = ${userId} and processor = ${processor} for update`.execute(
    tx.db,
  );
}

/** Adds a card, or what the processor now says of it; the first one is the default. */
export function upsertCard(ctx: DbCtx, key: CardKey, card: Card, at: Date): Promise<void> {
  return withTransaction(ctx, async (tx) => {
    await lockCards(tx, key.userId, key.processor);
    await sql`
      insert into payment_card (user_id, processor, card_id, brand, last4, exp_month, exp_year, is_default, attached_at)
      values (${key.userId}, ${key.processor}, ${key.cardId}, ${card.brand}, ${card.last4}, ${card.expMonth}, ${card.expYear},
        not exists (select from payment_card where user_id = ${key.userId} and processor = ${key.processor} and is_default), ${at})
      on conflict (user_id, processor, card_id) do update
        set brand = excluded.brand, last4 = excluded.last4, exp_month = excluded.exp_month, exp_year = excluded.exp_year`.execute(
      tx.db,
    );
  });
}

/** False when the user has no such card. */
export function makeDefault(ctx: DbCtx, key: CardKey): Promise<boolean> {
  return withTransaction(ctx, async (tx) => {
    await lockCards(tx, key.userId, key.processor);
    const { rows } = await sql`
      select from payment_card where user_id = ${key.userId} and processor = ${key.processor} and card_id = ${key.cardId}`.execute(
      tx.db,
    );
    if (rows.length === 0) return false;
    await sql`
      update payment_card set is_default = false
      where user_id = ${key.userId} and processor = ${key.processor} and is_default and card_id <> ${key.cardId}`.execute(
      tx.db,
    );
    await sql`
      update payment_card set is_default = true
      where user_id = ${key.userId} and processor = ${key.processor} and card_id = ${key.cardId}`.execute(
      tx.db,
    );
    return true;
  });
}

/** Removes a card; the oldest of the others takes over as the default. False when the user has no such card. */
export function deleteCard(ctx: DbCtx, key: CardKey): Promise<boolean> {
  return withTransaction(ctx, async (tx) => {
    await lockCards(tx, key.userId, key.processor);
    const { numAffectedRows } = await sql`
      delete from payment_card
      where user_id = ${key.userId} and processor = ${key.processor} and card_id = ${key.cardId}`.execute(
      tx.db,
    );
    await sql`
      update payment_card set is_default = true where (user_id, processor, card_id) in (
        select user_id, processor, card_id from payment_card where user_id = ${key.userId} and processor = ${key.processor}
          and not exists (select from payment_card where user_id = ${key.userId} and processor = ${key.processor} and is_default)
        order by attached_at, card_id limit 1)`.execute(tx.db);
    return numAffectedRows === 1n;
  });
}

/** Adds the intent unless its key is known; returns the one that has the key. */
export async function insertIntent(
  ctx: DbCtx,
  intent: Omit<Intent, "state" | "processorId" | "failure">,
  at: Date,
): Promise<Intent> {
  await sql`
    insert into payment_intent (id, key, user_id, processor, customer_id, card_id, amount, currency, state, created_at, updated_at)
    values (${intent.intentId}, ${intent.key}, ${intent.userId}, ${intent.processor}, ${intent.customerId}, ${intent.cardId},
      ${intent.amountNanos}, ${intent.currency}, 'pending', ${at}, ${at})
    on conflict (key) do nothing`.execute(ctx.db);
  const { rows } = await sql<IntentRow>`select * from payment_intent where key = ${intent.key}`.execute(
    ctx.db,
  );
  return rows[0] ? intentOf(rows[0]) : { ...intent, state: "pending", processorId: null, failure: null };
}

/** Locks the intent until the transaction ends. */
export async function lockIntent(tx: TxCtx, intentId: string): Promise<Intent | undefined> {
  const { rows } = await sql<IntentRow>`
    select * from payment_intent where id = ${intentId} for update`.execute(tx.db);
  return rows[0] && intentOf(rows[0]);
}

export async function updateIntent(
  tx: TxCtx,
  intentId: string,
  change: {
    state: Intent["state"];
    processorId: string;
    failure: string | null;
    transferId: bigint | null;
    at: Date;
  },
): Promise<void> {
  await sql`
    update payment_intent set state = ${change.state}, processor_id = ${change.processorId}, failure = ${change.failure},
      transfer_id = ${change.transferId}, updated_at = ${change.at}
    where id = ${intentId}`.execute(tx.db);
}

/** Payments whose end was never heard, last touched before `before`, oldest first. */
export async function selectPendingIntents(
  ctx: DbCtx,
  input: { processor: string; before: Date; limit: number },
): Promise<readonly Intent[]> {
  const { rows } = await sql<IntentRow>`
    select * from payment_intent
    where state = 'pending' and processor = ${input.processor} and updated_at < ${input.before}
    order by updated_at limit ${input.limit}`.execute(ctx.db);
  return rows.map(intentOf);
}

/** True when what the user has may be play money: the installation takes it, or the user once paid with it or was given it. */
export async function hasTestMoney(ctx: DbCtx, userId: string): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from billing_settings where payments = 'test')
      or exists (select from credit_grant where user_id = ${userId} and test_money)
      or exists (select from payment_intent where user_id = ${userId} and processor = 'test' and state = 'succeeded') as found`.execute(
    ctx.db,
  );
  return rows[0]?.found ?? false;
}

function intentOf(row: IntentRow): Intent {
  return {
    intentId: row.id,
    key: row.key,
    userId: row.user_id,
    processor: row.processor,
    customerId: row.customer_id,
    cardId: row.card_id,
    amountNanos: row.amount,
    currency: row.currency,
    state: row.state,
    processorId: row.processor_id,
    failure: row.failure,
  };
}
