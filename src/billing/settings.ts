/** What this database's money is: one currency, and whether it is play money. main writes it at every start. */
import { sql } from "kysely";
import { StatusError } from "../base/status.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import type { InvoiceSettings } from "./invoices/index.ts";

/** Off, or the processor that takes payments. */
export type PaymentsMode = "off" | "test" | "stripe" | "stripe_test";

/** Modes whose money is play money. */
const PLAY_MONEY: ReadonlySet<PaymentsMode> = new Set(["test", "stripe_test"]);

export function isPlayMoney(mode: PaymentsMode): boolean {
  return PLAY_MONEY.has(mode);
}

export interface BillingSettings {
  readonly currency: string;
  readonly payments: PaymentsMode;
}

/** What main configures beside that. */
export interface ConfiguredBilling extends BillingSettings {
  /** Users are told when their balance falls below it; 0 (the default) for never. */
  readonly balanceLowNanos?: bigint;
  /** Users are told when their money lasts for less than these seconds; none (the default) for never. */
  readonly runwayMarks?: readonly number[];
  /** What one administrator may correct alone within a day; 0 (the default): nothing. */
  readonly adjustmentAloneMaxNanos?: bigint;
  /** Who issues invoices; null (the default): none are issued. */
  readonly invoices?: InvoiceSettings | null;
}

export async function readSettings(ctx: DbCtx): Promise<BillingSettings> {
  const { rows } = await sql<BillingSettings>`select currency, payments from billing_settings`.execute(
    ctx.db,
  );
  const [row] = rows;
  if (!row) throw StatusError.from(new Error("billing_settings is empty"));
  return row;
}

/** Writes the settings. Throws CONFIG_INVALID when the currency would change under books that are not empty. */
export function configureBilling(ctx: DbCtx, settings: ConfiguredBilling): Promise<void> {
  return withTransaction(ctx, async (tx) => {
    const { currency, payments, balanceLowNanos = 0n, adjustmentAloneMaxNanos = 0n } = settings;
    await sql`update billing_settings set balance_low_mark = ${balanceLowNanos} where balance_low_mark <> ${balanceLowNanos}`.execute(
      tx.db,
    );
    const marks = [...(settings.runwayMarks ?? [])].sort((a, b) => b - a);
    await sql`update billing_settings set runway_marks = ${marks} where runway_marks <> ${marks}`.execute(
      tx.db,
    );
    await sql`update billing_settings set adjustment_alone_max = ${adjustmentAloneMaxNanos} where adjustment_alone_max <> ${adjustmentAloneMaxNanos}`.execute(
      tx.db,
    );
    const seller = settings.invoices ? JSON.stringify(settings.invoices) : null;
    await sql`update billing_settings set invoice_seller = ${seller}::jsonb where invoice_seller is distinct from ${seller}::jsonb`.execute(
      tx.db,
    );
    const now = await readSettings(tx);
    if (now.currency === currency && now.payments === payments) return;
    if (now.currency !== currency && (await hasMoney(tx))) {
      throw new StatusError({
        code: "FAILED_PRECONDITION",
        reason: "CONFIG_INVALID",
        message: `This database keeps its books in ${now.currency}. Set SLIPWAY_CURRENCY=${now.currency}, or use another database.`,
      });
    }
    await sql`update billing_settings set currency = ${currency}, payments = ${payments}`.execute(tx.db);
  });
}

async function hasMoney(ctx: DbCtx): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from ledger_account) or exists (select from gpu_price) or exists (select from token_price) as found`.execute(
    ctx.db,
  );
  return rows[0]?.found ?? false;
}
