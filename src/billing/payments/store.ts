/** Every statement on customers and cards. */
import { sql } from "kysely";
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import type { Card } from "./processor.ts";

export interface CardOnFile extends Card {
  /** Top-ups use it when none is named. */
  readonly isDefault: boolean;
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

/** Of those users who have one, their id at the processor that takes payments now. */
export async function selectCustomerIds(
  ctx: DbCtx,
  userIds: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const { rows } = await sql<{ user_id: string; customer_id: string }>`
    select user_id, customer_id from payment_customer
    where user_id = any(${[...userIds]}::uuid[]) and processor = (select payments from billing_settings)`.execute(
    ctx.db,
  );
  return new Map(rows.map((row) => [row.user_id, row.customer_id]));
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

/** The user's cards at the processor that takes payments now (its name is the mode), the default one first. */
export async function selectCards(ctx: DbCtx, userId: string): Promise<readonly CardOnFile[]> {
  const { rows } = await sql<CardOnFile>`
    select card_id as "cardId", brand, last4, exp_month as "expMonth", exp_year as "expYear", is_default as "isDefault"
    from payment_card where user_id = ${userId} and processor = (select payments from billing_settings)
    order by is_default desc, attached_at, card_id`.execute(ctx.db);
  return rows;
}

export interface UntoldCard extends CardOnFile {
  readonly userId: string;
  readonly expired: boolean;
}

/** Cards of the processor that takes payments now that end before `soon` and whose users don't know; from now on they do. */
export async function takeUntold(
  tx: TxCtx,
  input: { readonly now: Date; readonly soon: Date; readonly limit: number },
): Promise<readonly UntoldCard[]> {
  const { rows } = await sql<UntoldCard>`
    with due as (
      select user_id, processor, card_id, case when ends_at <= ${input.now} then 'EXPIRED' else 'EXPIRING' end as expiry
      from payment_card, lateral (
        select (make_date(exp_year, exp_month, 1) + interval '1 month') at time zone 'UTC' as ends_at
      ) calendar
      where processor = (select payments from billing_settings) and ends_at <= ${input.soon}
        and told_expiry <> case when ends_at <= ${input.now} then 'EXPIRED' else 'EXPIRING' end
      order by ends_at, user_id, card_id limit ${input.limit} for update of payment_card skip locked
    )
    update payment_card c set told_expiry = due.expiry from due
    where (c.user_id, c.processor, c.card_id) = (due.user_id, due.processor, due.card_id)
    returning c.user_id as "userId", c.card_id as "cardId", c.brand, c.last4, c.exp_month as "expMonth", c.exp_year as "expYear",
      c.is_default as "isDefault", due.expiry = 'EXPIRED' as expired`.execute(tx.db);
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
        set brand = excluded.brand, last4 = excluded.last4, exp_month = excluded.exp_month, exp_year = excluded.exp_year,
          told_expiry = case when (payment_card.exp_month, payment_card.exp_year) = (excluded.exp_month, excluded.exp_year)
            then payment_card.told_expiry else '' end`.execute(tx.db);
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

/** Whose card it is. */
export async function selectCardOwner(ctx: DbCtx, key: Omit<CardKey, "userId">): Promise<string | undefined> {
  const { rows } = await sql<{ user_id: string }>`
    select user_id from payment_card where processor = ${key.processor} and card_id = ${key.cardId}`.execute(
    ctx.db,
  );
  return rows[0]?.user_id;
}

/** Whose customer record it is. */
export async function selectCustomerOwner(
  ctx: DbCtx,
  key: { readonly processor: string; readonly customerId: string },
): Promise<string | undefined> {
  const { rows } = await sql<{ user_id: string }>`
    select user_id from payment_customer where processor = ${key.processor} and customer_id = ${key.customerId}`.execute(
    ctx.db,
  );
  return rows[0]?.user_id;
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

/** True when what the user has may be play money: the installation takes it, or the user once paid with it or was given it. */
export async function hasTestMoney(ctx: DbCtx, userId: string): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from billing_settings where payments in ('test', 'stripe_test'))
      or exists (select from credit_grant where user_id = ${userId} and test_money)
      or exists (select from balance_adjustment where user_id = ${userId} and test_money and state = 'POSTED' and direction = 'CREDIT')
      or exists (select from payment_intent where user_id = ${userId} and processor in ('test', 'stripe_test') and state = 'succeeded') as found`.execute(
    ctx.db,
  );
  return rows[0]?.found ?? false;
}
