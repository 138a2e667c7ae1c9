/** Customers and cards: at the processor first, then on file here. */
import { StatusError } from "../../base/status.ts";
import type { DbCtx } from "../../db/db.ts";
import { getUser } from "../../identity/index.ts";
import type { PaymentProcessor } from "./processor.ts";
import {
  type CardOnFile,
  deleteCard,
  insertCustomer,
  makeDefault,
  selectCards,
  selectCustomerId,
  selectCustomerIds,
  upsertCard,
} from "./store.ts";

interface CardInput {
  readonly userId: string;
  readonly cardId: string;
}

/** The processor's id of the user, made at the first call. Throws USER_NOT_FOUND. */
export async function customerOf(ctx: DbCtx, processor: PaymentProcessor, userId: string): Promise<string> {
  const known = await selectCustomerId(ctx, userId, processor.name);
  if (known !== undefined) return known;
  await getUser(ctx, userId);
  const { customerId } = await processor.createCustomer(ctx, { userId });
  await insertCustomer(ctx, { userId, processor: processor.name, customerId, at: ctx.clock.now() });
  return (await selectCustomerId(ctx, userId, processor.name)) ?? customerId;
}

/** What the processor calls these users, of those whom it knows. */
export function customerIdsOf(ctx: DbCtx, userIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
  return selectCustomerIds(ctx, userIds);
}

/** The cards at the processor that takes payments now, the default one first. */
export function listCards(ctx: DbCtx, userId: string): Promise<readonly CardOnFile[]> {
  return selectCards(ctx, userId);
}

/**
 * What a browser puts a card on file with, bank's confirmation included; the card is on file once the processor tells, or when
 * it is attached. The same key gives the same setup. Throws USER_NOT_FOUND.
 */
export async function createSetupIntent(
  ctx: DbCtx,
  processor: PaymentProcessor,
  input: { userId: string; key: string },
): Promise<{ readonly setupIntentId: string; readonly clientSecret: string }> {
  const customerId = await customerOf(ctx, processor, input.userId);
  return processor.createSetupIntent(ctx, { key: input.key, customerId });
}

/**
 * Puts a card on file; the first one is the default. Repeated: nothing. Throws PAYMENT_METHOD_UNKNOWN, CARD_DECLINED,
 * USER_NOT_FOUND.
 */
export async function attachCard(ctx: DbCtx, processor: PaymentProcessor, input: CardInput): Promise<void> {
  const customerId = await customerOf(ctx, processor, input.userId);
  const card = await processor.attachCard(ctx, { customerId, cardId: input.cardId });
  const key = { userId: input.userId, processor: processor.name, cardId: card.cardId };
  await upsertCard(ctx, key, card, ctx.clock.now());
}

/** Takes a card off the file. Throws PAYMENT_METHOD_UNKNOWN. */
export async function detachCard(ctx: DbCtx, processor: PaymentProcessor, input: CardInput): Promise<void> {
  await requireOnFile(ctx, input);
  const customerId = await customerOf(ctx, processor, input.userId);
  await processor.detachCard(ctx, { customerId, cardId: input.cardId });
  await deleteCard(ctx, { ...input, processor: processor.name });
}

/** Makes a card the one that top-ups use when none is named. Throws PAYMENT_METHOD_UNKNOWN. */
export async function setDefaultCard(
  ctx: DbCtx,
  processor: PaymentProcessor,
  input: CardInput,
): Promise<void> {
  await requireOnFile(ctx, input);
  const customerId = await customerOf(ctx, processor, input.userId);
  await processor.makeDefault(ctx, { customerId, cardId: input.cardId });
  if (!(await makeDefault(ctx, { ...input, processor: processor.name }))) throw cardUnknown();
}

/** Before the processor is asked: it would take any id, and ids are no secrets. */
async function requireOnFile(ctx: DbCtx, input: CardInput): Promise<void> {
  const cards = await selectCards(ctx, input.userId);
  if (!cards.some((card) => card.cardId === input.cardId)) throw cardUnknown();
}

export function cardUnknown(): StatusError {
  return new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "PAYMENT_METHOD_UNKNOWN",
    message: "This card is not on file. Attach it first, or name one that is.",
  });
}

export function cardMissing(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CARD_MISSING",
    message: "There is no card on file. Add one, then try again.",
  });
}

export function cardExpired(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CARD_EXPIRED",
    message: "The card on file has expired. Add another one, then try again.",
  });
}
