/** An invoice: a calendar month (UTC) of one user's money in one currency, frozen when the month was closed. */

import type { GpuType } from "../../engines/engine.ts";
import type { Provider } from "../pricing/index.ts";

/** Whoever operates the installation. */
export interface Seller {
  readonly name: string;
  /** Lines, separated by line feeds; "" for none. */
  readonly address: string;
  readonly taxId: string;
  /** Printed below the sums; "" for nothing. */
  readonly note: string;
}

/** What the operator configures: without it no invoice is issued. */
export interface InvoiceSettings extends Seller {
  /** What numbers begin with. */
  readonly series: string;
}

/** The user as the profile was when the invoice was issued. */
export interface Buyer {
  readonly userId: string;
  readonly name: string;
  readonly company: string;
  readonly email: string;
}

export type LineKind =
  | "PAYMENT"
  | "CREDIT"
  | "GPU_TIME"
  | "TOKENS"
  | "ADJUSTMENT"
  | "REFUND"
  | "DISPUTE"
  | "OTHER";

/** The facts of a line. Counts and nanos are text: they outgrow a double. What a kind does not have is absent. */
export interface LineDetails {
  /** Ledger time of the first and the last movement. */
  readonly from: string;
  readonly to: string;
  /** Movements of the ledger. */
  readonly movements: string;
  /** The line in words, kept when the invoice was issued: what it says is frozen, too. */
  readonly text?: string;
  readonly modelId?: string;
  readonly servedName?: string;
  readonly priceVersionId?: string;
  readonly provider?: Provider;
  readonly region?: string;
  readonly gpuType?: GpuType;
  readonly gpuCount?: number;
  readonly chargedMs?: string;
  /** Of the whole replica. */
  readonly nanosPerHour?: string;
  /** Part of the amount: what the price plan shares of the cache's savings. */
  readonly shareNanos?: string;
  readonly requests?: string;
  readonly promptTokens?: string;
  readonly cachedTokens?: string;
  readonly completionTokens?: string;
  readonly inputNanosPerMillion?: string;
  readonly cachedNanosPerMillion?: string;
  readonly outputNanosPerMillion?: string;
  /** Why credit was granted or a balance corrected. */
  readonly note?: string;
  /** The payment's id at the processor. */
  readonly processorId?: string;
}

export interface InvoiceLine {
  readonly kind: LineKind;
  /** The ledger's code. */
  readonly code: string;
  /** What the balance gained; negative where it lost. */
  readonly amountNanos: bigint;
  readonly details: LineDetails;
}

/** A month as it stands, or as it was closed. */
export interface Statement {
  readonly userId: string;
  readonly currency: string;
  /** "2026-03". */
  readonly month: string;
  readonly openingNanos: bigint;
  readonly closingNanos: bigint;
  /** They sum to closing − opening, to the nano. */
  readonly lines: readonly InvoiceLine[];
  readonly seller: Seller;
  readonly buyer: Buyer;
}

export interface Invoice extends Statement {
  /** "" for a draft. */
  readonly number: string;
  /** When it was issued; of a draft: when it was drawn up. */
  readonly issuedAt: Date;
}

/** What lies between the balances, in two sums: closing = opening + credited − charged. */
export interface Sums {
  readonly creditedNanos: bigint;
  readonly chargedNanos: bigint;
}

/** An invoice in a list. */
export type InvoiceHead = Omit<Invoice, "lines" | "seller" | "buyer"> & Sums;

/** "INV-2026-000042": in a series and year without gaps. */
export function invoiceNumber(series: string, year: number, seq: number): string {
  return `${series}-${year}-${String(seq).padStart(6, "0")}`;
}
