/** What is compared of a day: the processor's lists with our rows, and what we have that they lack. */
import { isUuid } from "../../../base/id.ts";
import type { DbCtx } from "../../../db/db.ts";
import type { PaymentProcessor } from "../processor.ts";
import type { ListedPayment, ListedRefund, ProcessorNews, Span } from "../processor-news.ts";
import type { Item } from "./compare.ts";
import {
  type PaymentRow,
  selectCredited,
  selectDisputes,
  selectPayments,
  selectRefunded,
  selectRefunds,
} from "./store.ts";

export interface Day {
  readonly items: readonly Item[];
  /** False: a list was longer than its bound. */
  readonly whole: boolean;
}

/** Things of others that share the processor's account are left out: they have neither a key of ours nor a payment of ours. */
export async function itemsOf(
  ctx: DbCtx,
  processor: PaymentProcessor,
  news: ProcessorNews,
  span: Span,
): Promise<Day> {
  const payments = await news.listPayments(ctx, span);
  const refunds = await news.listRefunds(ctx, span);
  const disputes = await news.listDisputes(ctx, span);
  const input = { processor: processor.name, ...span };
  const missed = await lookedUp(await selectCredited(ctx, input), payments.rows, (id) =>
    news.payment(ctx, id),
  );
  const missedRefunds = await lookedUp(await selectRefunded(ctx, input), refunds.rows, (id) =>
    news.refund(ctx, id),
  );
  const { name } = processor;
  const items = [
    ...(await paymentItems(ctx, name, [...payments.rows, ...missed.found])),
    ...(await refundItems(ctx, name, [...refunds.rows, ...missedRefunds.found])),
    ...(await disputeItems(ctx, name, disputes.rows)),
    ...(await goneItems(ctx, name, missed.gone, missedRefunds.gone)),
  ];
  return { items, whole: payments.whole && refunds.whole && disputes.whole };
}

/** What is ours alone is asked for one by one: most of it only lies on the other side of the day's edge. */
async function lookedUp<T extends { readonly processorId: string }>(
  ids: readonly string[],
  listed: readonly T[],
  ask: (id: string) => Promise<T | undefined>,
): Promise<{ readonly found: readonly T[]; readonly gone: readonly string[] }> {
  const there = new Set(listed.map(({ processorId }) => processorId));
  const found: T[] = [];
  const gone: string[] = [];
  for (const id of ids) {
    if (there.has(id)) continue;
    const one = await ask(id);
    if (one) found.push(one);
    else gone.push(id);
  }
  return { found, gone };
}

async function paymentItems(
  ctx: DbCtx,
  processor: string,
  listed: readonly ListedPayment[],
): Promise<readonly Item[]> {
  const rows = await selectPayments(ctx, { processor, ...idsAndKeys(listed) });
  const rowOf = finder(rows);
  return listed.flatMap((payment): readonly Item[] => {
    const row = rowOf(payment);
    if (!row && !isUuid(payment.key)) return [];
    const processorNanos = payment.outcome.state === "succeeded" ? payment.money.nanos : 0n;
    const common = { kind: "payment", id: payment.processorId, currency: payment.money.currency } as const;
    return [{ ...common, known: row !== undefined, there: true, processorNanos, movements: paid(row) }];
  });
}

async function refundItems(
  ctx: DbCtx,
  processor: string,
  listed: readonly ListedRefund[],
): Promise<readonly Item[]> {
  const rowOf = finder(await selectRefunds(ctx, { processor, ...idsAndKeys(listed) }));
  const ours = await ourPayments(ctx, processor, listed);
  return listed.flatMap((refund): readonly Item[] => {
    const row = rowOf(refund);
    if (!row && !ours.has(refund.paymentId)) return [];
    const processorNanos = refund.outcome.state === "succeeded" ? -refund.money.nanos : 0n;
    const common = { kind: "refund", id: refund.processorId, currency: refund.money.currency } as const;
    return [{ ...common, known: row !== undefined, there: true, processorNanos, movements: refunded(row) }];
  });
}

async function disputeItems(
  ctx: DbCtx,
  processor: string,
  listed: Awaited<ReturnType<ProcessorNews["listDisputes"]>>["rows"],
): Promise<readonly Item[]> {
  const rows = await selectDisputes(ctx, { processor, ids: listed.map(({ disputeId }) => disputeId) });
  const movesOf = new Map(rows.map(({ processorId, moves }) => [processorId, moves]));
  const ours = await ourPayments(ctx, processor, listed);
  return listed.flatMap(({ disputeId: id, paymentId, money, taken }): readonly Item[] => {
    const moves = movesOf.get(id);
    if (moves === undefined && !ours.has(paymentId)) return [];
    const processorNanos = taken ? -money.nanos : 0n;
    const movements = disputed(`dispute:${processor}:${id}`, moves ?? 0);
    const known = moves !== undefined;
    return [{ kind: "dispute", id, currency: money.currency, known, there: true, processorNanos, movements }];
  });
}

async function goneItems(
  ctx: DbCtx,
  processor: string,
  payments: readonly string[],
  refunds: readonly string[],
): Promise<readonly Item[]> {
  const gone = { known: true, there: false, processorNanos: 0n } as const;
  const paymentRows = await selectPayments(ctx, { processor, ids: payments, keys: [] });
  const refundRows = await selectRefunds(ctx, { processor, ids: refunds, keys: [] });
  const common = ({ processorId, currency }: PaymentRow) => ({ id: processorId ?? "", currency, ...gone });
  return [
    ...paymentRows.map((row): Item => ({ kind: "payment", ...common(row), movements: paid(row) })),
    ...refundRows.map((row): Item => ({ kind: "refund", ...common(row), movements: refunded(row) })),
  ];
}

async function ourPayments(
  ctx: DbCtx,
  processor: string,
  listed: readonly { readonly paymentId: string }[],
): Promise<ReadonlySet<string>> {
  const ids = listed.map(({ paymentId }) => paymentId);
  const rows = await selectPayments(ctx, { processor, ids, keys: [] });
  return new Set(rows.map(({ processorId }) => processorId ?? ""));
}

function idsAndKeys(listed: readonly { readonly processorId: string; readonly key: string }[]) {
  return {
    ids: listed.map(({ processorId }) => processorId),
    keys: listed.map(({ key }) => key).filter(isUuid),
  };
}

/** Finds a row by the processor's id, or by our key. */
function finder(rows: readonly PaymentRow[]) {
  const byId = new Map(rows.map((row) => [row.processorId, row]));
  const byKey = new Map(rows.map((row) => [row.id, row]));
  return (one: { readonly processorId: string; readonly key: string }) =>
    byId.get(one.processorId) ?? byKey.get(one.key);
}

function paid(row: PaymentRow | undefined): Item["movements"] {
  return row ? [{ key: `topup:${row.id}`, sign: 1n }] : [];
}

function refunded(row: PaymentRow | undefined): Item["movements"] {
  if (!row) return [];
  const key = `refund:${row.id}`;
  return [
    { key, sign: -1n },
    { key: `${key}:debt`, sign: -1n },
    { key: `${key}:returned`, sign: 1n },
  ];
}

/** Taken by the first move, given back by the second, and so on. */
function disputed(key: string, moves: number): Item["movements"] {
  return Array.from(
    { length: moves },
    (_, at) => ({ key: `${key}:${at + 1}`, sign: at % 2 === 0 ? -1n : 1n }) as const,
  ).flatMap((move) => [move, { ...move, key: `${move.key}:debt` }]);
}
