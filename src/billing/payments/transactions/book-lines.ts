/** Reads the lines of the processor's balance from where the last pass ended, and books what is new. */
import { type DbCtx, withTransaction } from "../../../db/db.ts";
import type { PaymentProcessor } from "../processor.ts";
import type { ProcessorNews, ProcessorTransaction, Span } from "../processor-news.ts";
import { bookLine, bookOpening } from "./book-line.ts";
import {
  beginReading,
  markOpened,
  type Reading,
  saveLinesReadUntil,
  selectFirstPaymentAt,
  selectKnown,
  selectReading,
  sumLines,
} from "./store.ts";

const DAY_MS = 24 * 3_600_000;
/** A line may enter the list a little after its time; the processor's clock may differ from ours. */
const OVERLAP_MS = 10 * 60_000;
/** Days of one pass: books that begin with years of payments catch up pass by pass. */
const DAYS_MAX = 62;
/** A span that one list can't hold is cut in two so often: a day down to seconds. */
const CUTS_MAX = 16;
/** Tries to read balance and list with nothing moving between; the next pass tries again. */
const OPEN_TRIES_MAX = 3;

/** Returns how many lines were new. Nothing to do where the processor has no list. */
export async function bookProcessorLines(
  ctx: DbCtx,
  processor: PaymentProcessor,
  input: { readonly now: Date },
): Promise<number> {
  const { news } = processor;
  if (!news) return 0;
  const reading = await readingOf(ctx, processor, input.now);
  const until = input.now.getTime();
  let from = reading.readUntil.getTime();
  let booked = 0;
  for (let days = 0; days < DAYS_MAX && from < until; days++) {
    const to = Math.min(from + DAY_MS, until);
    booked += await bookSpan(ctx, processor, news, spanOf(reading, from, to));
    await saveLinesReadUntil(ctx, processor.name, new Date(to));
    from = to;
  }
  if (reading.openedAt === null && from >= until) await open(ctx, processor, news, reading);
  return booked;
}

/** Books what of a span is not in the books. Lines from before the books began are in their opening. */
export async function bookMissing(
  ctx: DbCtx,
  processor: PaymentProcessor,
  listed: readonly ProcessorTransaction[],
): Promise<readonly ProcessorTransaction[]> {
  const reading = await selectReading(ctx, processor.name);
  if (!reading) return [];
  const { name } = processor;
  const known = await selectKnown(ctx, {
    processor: name,
    ids: listed.map(({ transactionId }) => transactionId),
  });
  const missing = listed.filter((line) => !known.has(line.transactionId) && line.at >= reading.since);
  const booked: ProcessorTransaction[] = [];
  for (const line of missing) {
    if (await withTransaction(ctx, (tx) => bookLine(tx, name, line))) booked.push(line);
  }
  return booked;
}

async function readingOf(ctx: DbCtx, processor: PaymentProcessor, now: Date): Promise<Reading> {
  const known = await selectReading(ctx, processor.name);
  if (known) return known;
  const first = (await selectFirstPaymentAt(ctx, processor.name)) ?? now;
  // The processor's times are whole seconds.
  const since = Math.floor((first.getTime() - OVERLAP_MS) / 1_000) * 1_000;
  return beginReading(ctx, processor.name, new Date(since));
}

/** Times in the list are whole seconds; the one that has begun belongs to this span too. */
function spanOf({ since }: Reading, from: number, until: number): Span {
  return {
    from: new Date(Math.max(from - OVERLAP_MS, since.getTime())),
    until: new Date(until + 1_000),
  };
}

async function bookSpan(
  ctx: DbCtx,
  processor: PaymentProcessor,
  news: ProcessorNews,
  span: Span,
  cuts = 0,
): Promise<number> {
  const { rows, whole } = await news.listTransactions(ctx, span);
  if (whole) return (await bookMissing(ctx, processor, rows)).length;
  const middle = new Date(Math.floor((span.from.getTime() + span.until.getTime()) / 2_000) * 1_000);
  if (cuts === CUTS_MAX || middle <= span.from || middle >= span.until) {
    throw new Error("more lines in a second than one list holds");
  }
  const earlier = await bookSpan(ctx, processor, news, { from: span.from, until: middle }, cuts + 1);
  const later = await bookSpan(ctx, processor, news, { from: middle, until: span.until }, cuts + 1);
  return earlier + later;
}

/**
 * Writes down once what the processor had before these books: its balance less all lines that are here. Balance and lines are
 * of one moment when nothing new is listed after the balance was read.
 */
async function open(
  ctx: DbCtx,
  processor: PaymentProcessor,
  news: ProcessorNews,
  reading: Reading,
): Promise<void> {
  for (let tries = 0; tries < OPEN_TRIES_MAX; tries++) {
    const balances = await news.balances(ctx);
    const now = ctx.clock.now().getTime();
    if ((await bookSpan(ctx, processor, news, spanOf(reading, now, now))) > 0) continue;
    await withTransaction(ctx, async (tx) => {
      if (!(await markOpened(tx, processor.name, tx.clock.now()))) return;
      const lines = await sumLines(tx, processor.name);
      for (const { currency, nanos } of balances) {
        const before = nanos - (lines.get(currency) ?? 0n);
        if (before !== 0n) await bookOpening(tx, processor.name, { currency, nanos: before });
      }
    });
    return;
  }
}
