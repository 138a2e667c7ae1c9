/** Stripe's lists, read to their end or to a bound. */
import type { Listed, Span } from "../processor-news.ts";
import { secondsOf } from "./convert.ts";
import { asked } from "./faults.ts";

/** Stripe's largest page. */
export const PAGE = 100;
/** Rows of one list: a hundred pages. Spans are chosen so that one holds fewer. */
const ROWS_MAX = 10_000;

/** Stripe's filter by time. */
export function createdIn({ from, until }: Span) {
  return { gte: secondsOf(from), lt: secondsOf(until) };
}

export async function listed<T, U>(list: AsyncIterable<T>, convert: (one: T) => U): Promise<Listed<U>> {
  return asked(async () => {
    const rows: U[] = [];
    for await (const one of list) {
      if (rows.length === ROWS_MAX) return { rows, whole: false };
      rows.push(convert(one));
    }
    return { rows, whole: true };
  });
}
