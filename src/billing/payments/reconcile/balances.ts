/** What the processor has against what the ledger says that it has, currency by currency, with what explains a difference. */
import type { Money } from "../../../base/money.ts";
import type { DbCtx } from "../../../db/db.ts";
import type { PaymentProcessor } from "../processor.ts";
import type { ProcessorNews, Span } from "../processor-news.ts";
import { bookMissing, bookProcessorLines } from "../transactions/index.ts";
import { lineBooked, lineGone, notAsked, notSettled, outsideLines } from "./balance-findings.ts";
import { type BooksOfProcessor, type Part, selectBooks, selectLineIds } from "./balance-store.ts";
import { type Finding, listCut } from "./compare.ts";

/** A payment is in the processor's balance within moments; what is longer on its way is no explanation any more. */
const SETTLES_WITHIN_MS = 24 * 3_600_000;
/** Readings of the balance until nothing has moved between; the next run tries again. */
const READS_MAX = 3;
/** Findings of one kind: whoever has more looks at the first ones anyway. */
const NAMED_MAX = 50;

export interface BalanceLine {
  readonly currency: string;
  /** What the processor says that it has: available and not yet. */
  readonly processorNanos: bigint;
  /** What the ledger says that it has: `processor.clearing`. */
  readonly ledgerNanos: bigint;
  /** What of the difference is on its way: in the books and not yet in the balance, or the other way round. */
  readonly waitingNanos: bigint;
  /** 0 in good books. */
  readonly unexplainedNanos: bigint;
  /** What made up the processor's balance, over all time. */
  readonly parts: readonly Part[];
}

export interface Balances {
  readonly lines: readonly BalanceLine[];
  readonly findings: readonly Finding[];
}

interface Asked {
  readonly processor: PaymentProcessor;
  readonly news: ProcessorNews;
  readonly now: Date;
  /** Days whose lines are compared one by one. */
  readonly days: readonly Span[];
}

/** Books what the processor's balance has that is new, then compares. Where the processor does not let itself be asked, says so. */
export async function compareBalances(ctx: DbCtx, asked: Asked): Promise<Balances> {
  try {
    return await compared(ctx, asked);
  } catch (error) {
    ctx.log.error({ err: error }, "the processor's balance could not be compared");
    return { lines: [], findings: [notAsked()] };
  }
}

async function compared(ctx: DbCtx, asked: Asked): Promise<Balances> {
  await bookProcessorLines(ctx, asked.processor, { now: asked.now });
  const missed: Finding[] = [];
  for (const day of asked.days) missed.push(...(await compareLines(ctx, asked, day)));
  const balances = await quietBalances(ctx, asked);
  if (!balances) return { lines: [], findings: [...missed, notAsked()] };
  const books = await selectBooks(ctx, asked.processor.name);
  const currencies = new Set([...balances.map(({ currency }) => currency), ...books.ledger.keys()]);
  const young = new Date(asked.now.getTime() - SETTLES_WITHIN_MS);
  const lines = [...currencies].sort().map((currency) => lineOf(currency, balances, books, young));
  const told = [...books.unsettled.slice(0, NAMED_MAX).map(notSettled), ...books.outside.map(outsideLines)];
  return { lines, findings: [...missed, ...told] };
}

function lineOf(
  currency: string,
  balances: readonly Money[],
  books: BooksOfProcessor,
  young: Date,
): BalanceLine {
  const processorNanos = balances.find((one) => one.currency === currency)?.nanos ?? 0n;
  const ledgerNanos = books.ledger.get(currency) ?? 0n;
  const waitingNanos = books.unsettled
    .filter((one) => one.currency === currency && one.at > young)
    .reduce((total, { nanos }) => total + nanos, 0n);
  return {
    currency,
    processorNanos,
    ledgerNanos,
    waitingNanos,
    unexplainedNanos: ledgerNanos - processorNanos - waitingNanos,
    parts: books.parts.filter((one) => one.currency === currency),
  };
}

/** What polling missed is booked now; what the books have and the processor lacks is told. */
async function compareLines(ctx: DbCtx, asked: Asked, day: Span): Promise<readonly Finding[]> {
  const { name } = asked.processor;
  const { rows, whole } = await asked.news.listTransactions(ctx, day);
  const booked = await bookMissing(ctx, asked.processor, rows);
  const there = new Set(rows.map(({ transactionId }) => transactionId));
  const ours = whole ? await selectLineIds(ctx, { processor: name, ...day }) : [];
  const gone = ours.filter((id) => !there.has(id)).slice(0, NAMED_MAX);
  const cut = whole ? [] : [listCut(day.from.toISOString())];
  return [...booked.map(lineBooked), ...gone.map(lineGone), ...cut];
}

/** The balance at a moment of which every line is booked. Undefined where it never held still. */
async function quietBalances(ctx: DbCtx, asked: Asked): Promise<readonly Money[] | undefined> {
  for (let reads = 0; reads < READS_MAX; reads++) {
    const balances = await asked.news.balances(ctx);
    if ((await bookProcessorLines(ctx, asked.processor, { now: ctx.clock.now() })) === 0) return balances;
  }
  return undefined;
}
