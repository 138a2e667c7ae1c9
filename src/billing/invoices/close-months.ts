import type { DbCtx } from "../../db/db.ts";
import { monthRange } from "../journal/index.ts";
import { closeInvoice } from "./close-invoice.ts";
import type { InvoiceSettings } from "./model.ts";
import {
  insertClose,
  isClosed,
  type Owner,
  selectInvoiceSettings,
  selectNextMonth,
  selectOwners,
} from "./store.ts";

/**
 * A month is closed so long after its end: clocks of workers differ, and transactions that began in the month end. Nothing is lost
 * by less; what comes later is on the next invoice.
 */
const CLOSES_AFTER_MS = 3_600_000;
/** Months of one run, which then ends: an installation that names its seller after years catches up run by run. */
const MONTHS_MAX = 12;
/** Owners read at once. */
const OWNERS_PAGE = 500;

/**
 * Closes the months that are over, the oldest first: an invoice for everybody whose money moved. Any number of workers may do so at
 * once, and it goes on where it was cut off. Does nothing while no seller is configured. Returns the numbers that it gave; throws when
 * somebody's invoice could not be made, after everybody else's was.
 */
export async function closeMonths(ctx: DbCtx): Promise<readonly string[]> {
  const settings = await selectInvoiceSettings(ctx);
  if (!settings) return [];
  const numbers: string[] = [];
  for (let months = 0; months < MONTHS_MAX; months++) {
    const month = await selectNextMonth(ctx);
    if (month === undefined || !isOver(month, ctx.clock.now())) break;
    numbers.push(...(await closeMonth(ctx, month, settings)));
  }
  return numbers;
}

export function isOver(month: string, now: Date): boolean {
  return monthRange(month).to.getTime() + CLOSES_AFTER_MS <= now.getTime();
}

async function closeMonth(ctx: DbCtx, month: string, settings: InvoiceSettings): Promise<readonly string[]> {
  const before = monthRange(month).to;
  const numbers: string[] = [];
  let failed = 0;
  let after: Owner | undefined;
  // Ends: each page begins after the one before.
  for (;;) {
    // Another worker has been through it all: what it left out comes with the next month.
    if (await isClosed(ctx, month)) return numbers;
    const owners = await selectOwners(ctx, { before, after, limit: OWNERS_PAGE });
    for (const owner of owners) {
      try {
        const number = await closeInvoice(ctx, { ...owner, month, settings });
        if (number !== undefined) numbers.push(number);
      } catch (error) {
        failed++;
        ctx.log.error({ err: error, userId: owner.userId, month }, "an invoice could not be made");
      }
    }
    if (owners.length < OWNERS_PAGE) break;
    after = owners.at(-1);
  }
  // The month stays open, and the next run makes what is missing: everybody else has theirs.
  if (failed > 0)
    throw new Error(
      `invoices: ${failed} ${failed === 1 ? "invoice" : "invoices"} of ${month} could not be made`,
    );
  await insertClose(ctx, month, ctx.clock.now());
  ctx.log.info({ month, invoices: numbers.length }, "month closed");
  return numbers;
}
