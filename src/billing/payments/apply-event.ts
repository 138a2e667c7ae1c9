/**
 * What the processor tells becomes ours, once: the event's row, the state and the ledger in one transaction. An event says only
 * what to look at. Its subject is read from the processor, so that events may come late, twice and in any order.
 */
import { type DbCtx, type TxCtx, withTransaction } from "../../db/db.ts";
import { followCard, readCard } from "./apply-card.ts";
import { readDispute } from "./apply-dispute.ts";
import { readPayment } from "./apply-payment.ts";
import { readPayout } from "./apply-payout.ts";
import { readRefund } from "./apply-refund.ts";
import { insertEvent, isEventKnown } from "./event-store.ts";
import type { PaymentProcessor } from "./processor.ts";
import type { EventSubject, ProcessorEvent } from "./processor-news.ts";

/** Writes down what was read. False: what it is about has changed since, so it must be read again. */
export type Apply = (tx: TxCtx) => Promise<boolean>;

/** Readings until none has been overtaken. Whoever overtakes writes something newer, so more means a fault. */
const READS_MAX = 5;

/** Rolls the event's row back with the rest. */
class Overtaken extends Error {}

/** Returns false for an event that was applied before. Throws where the processor can't be asked: then it is to come again. */
export async function applyEvent(
  ctx: DbCtx,
  processor: PaymentProcessor,
  event: ProcessorEvent,
  heardBy: "webhook" | "poll",
): Promise<boolean> {
  if (await isEventKnown(ctx, { processor: processor.name, eventId: event.eventId })) return false;
  const applied = await applyOnce(ctx, processor, event, heardBy);
  if (event.subject.kind === "card") await followCard(ctx, processor, event.subject.id);
  return applied;
}

async function applyOnce(
  ctx: DbCtx,
  processor: PaymentProcessor,
  event: ProcessorEvent,
  heardBy: "webhook" | "poll",
): Promise<boolean> {
  for (let reads = 1; ; reads++) {
    const apply = await read(ctx, processor, event.subject);
    try {
      return await withTransaction(ctx, async (tx) => {
        const row = { processor: processor.name, event, heardBy, at: tx.clock.now() };
        if (!(await insertEvent(tx, row))) return false;
        if (!(await apply(tx))) throw new Overtaken();
        return true;
      });
    } catch (error) {
      if (!(error instanceof Overtaken) || reads === READS_MAX) throw error;
    }
  }
}

/** Reads a subject again and writes what is read, without an event. */
export async function refresh(ctx: DbCtx, processor: PaymentProcessor, subject: EventSubject): Promise<void> {
  for (let reads = 1; reads <= READS_MAX; reads++) {
    const apply = await read(ctx, processor, subject);
    if (await withTransaction(ctx, apply)) return;
  }
}

async function read(ctx: DbCtx, processor: PaymentProcessor, subject: EventSubject): Promise<Apply> {
  switch (subject.kind) {
    case "payment":
      return readPayment(ctx, processor, subject.id);
    case "card":
      return readCard(ctx, processor, subject.id);
    case "refund":
      return readRefund(ctx, processor, subject.id);
    case "dispute":
      return readDispute(ctx, processor, subject.id);
    case "payout":
      return readPayout(ctx, processor, subject.id);
    default:
      return async () => true;
  }
}
