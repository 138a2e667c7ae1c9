/** The ledger against the processor, day by day: what differs is read again and booked, what still differs is explained. */
import type { DbCtx } from "../../../db/db.ts";
import { readSettings } from "../../settings.ts";
import { refresh } from "../apply-event.ts";
import type { PaymentProcessor } from "../processor.ts";
import type { ProcessorNews, Span } from "../processor-news.ts";
import { compareBalances } from "./balances.ts";
import { differenceOf, type Finding, type Item, ledgerNanosOf, listCut, repaired } from "./compare.ts";
import { itemsOf } from "./items.ts";
import { insertReconciliation, type Reconciliation, selectTotals, selectTransferAmounts } from "./store.ts";

const DAY_MS = 24 * 3_600_000;
/** Of one run: a list a day, and no run of years by a slip of the finger. */
export const RECONCILED_DAYS_MAX = 400;
/** What is under way this very moment is for the next run. */
const UNSETTLED_MS = 5 * 60_000;

/** Compares the last `days` days and keeps what was found. Undefined where the processor has nothing to compare with. */
export async function reconcile(
  ctx: DbCtx,
  processor: PaymentProcessor,
  input: { readonly now: Date; readonly days: number },
): Promise<Reconciliation | undefined> {
  const { news } = processor;
  if (!news) return undefined;
  const { currency } = await readSettings(ctx);
  const until = new Date(input.now.getTime() - UNSETTLED_MS);
  const days = Math.min(input.days, RECONCILED_DAYS_MAX);
  const from = new Date(until.getTime() - days * DAY_MS);
  const sums = { processorNanos: 0n, ledgerNanos: 0n, compared: 0 };
  const findings: Finding[] = [];
  /** Clocks differ, so a day's edge may lie between our row and the processor's: each is compared once. */
  const seen = new Set<string>();
  const spans = daysOf(from, until);
  for (const span of spans) {
    const found = await compareDay(ctx, processor, news, span, seen);
    sums.processorNanos += found.processorNanos;
    sums.ledgerNanos += found.ledgerNanos;
    sums.compared += found.compared;
    findings.push(...found.findings);
  }
  const balances = await compareBalances(ctx, { processor, news, now: input.now, days: spans });
  findings.push(...balances.findings);
  const totals = await selectTotals(ctx, currency);
  const unexplainedNanos = totals.ledgerNanos - totals.rowsNanos;
  const finishedAt = ctx.clock.now();
  const done = {
    processor: processor.name,
    currency,
    from,
    until,
    finishedAt,
    unexplainedNanos,
    ...sums,
    findings,
    balances: balances.lines,
  };
  await insertReconciliation(ctx, done);
  if (differs(done)) {
    ctx.log.error(
      { findings: findings.length },
      "the ledger and the processor differ: slipway admin billing reconcile",
    );
  }
  return done;
}

/** True when something differs and stays so. */
export function differs({ findings, unexplainedNanos, balances }: Reconciliation): boolean {
  return (
    unexplainedNanos !== 0n ||
    findings.some(({ differenceNanos }) => differenceNanos !== 0n) ||
    balances.some((line) => line.unexplainedNanos !== 0n)
  );
}

function daysOf(from: Date, until: Date): readonly Span[] {
  const days: Span[] = [];
  for (let day = from.getTime(); day < until.getTime(); day += DAY_MS) {
    days.push({ from: new Date(day), until: new Date(Math.min(day + DAY_MS, until.getTime())) });
  }
  return days;
}

type Found = Pick<Reconciliation, "processorNanos" | "ledgerNanos" | "compared" | "findings">;

async function compareDay(
  ctx: DbCtx,
  processor: PaymentProcessor,
  news: ProcessorNews,
  span: Span,
  seen: Set<string>,
): Promise<Found> {
  const unseen = async () => {
    const day = await itemsOf(ctx, processor, news, span);
    return { ...day, items: day.items.filter(({ id }) => !seen.has(id)) };
  };
  const first = await unseen();
  const differing = await differences(ctx, first.items);
  for (const { what: kind, id } of differing.findings) {
    if (kind === "payment" || kind === "refund" || kind === "dispute") {
      await refresh(ctx, processor, { kind, id });
    }
  }
  // Again from the beginning: rows may have come, and moves been made.
  const { items, whole } = differing.findings.length === 0 ? first : await unseen();
  const left = await differences(ctx, items);
  const open = new Set(left.findings.map(({ id }) => id));
  const mended = differing.findings
    .filter(({ id }) => !open.has(id))
    .flatMap(({ id }) => items.filter((item) => item.id === id))
    .map((item) => repaired(item, item.processorNanos));
  for (const { id } of items) seen.add(id);
  const cut = whole ? [] : [listCut(span.from.toISOString())];
  return { ...left, compared: items.length, findings: [...mended, ...left.findings, ...cut] };
}

async function differences(ctx: DbCtx, items: readonly Item[]): Promise<Omit<Found, "compared">> {
  const amounts = await selectTransferAmounts(
    ctx,
    items.flatMap(({ movements }) => movements.map(({ key }) => key)),
  );
  let processorNanos = 0n;
  let ledgerNanos = 0n;
  const findings: Finding[] = [];
  for (const item of items) {
    const inLedger = ledgerNanosOf(item, amounts);
    processorNanos += item.processorNanos;
    ledgerNanos += inLedger;
    const found = differenceOf(item, inLedger);
    if (found) findings.push(found);
  }
  return { processorNanos, ledgerNanos, findings };
}
