/** What a line of the processor's balance moves in the ledger. Pure. */
import type { Money } from "../../../base/money.ts";
import type { MovementCode } from "../../ledger/index.ts";
import type { ProcessorTransaction } from "../processor-news.ts";

export interface Posting {
  /** Tells the movements of one line apart: a part of their keys. */
  readonly part: "fee" | "gross" | "own" | "rest" | "from" | "to";
  readonly code: MovementCode;
  /** Above zero. */
  readonly money: Money;
}

export interface Booking {
  readonly postings: readonly Posting[];
  /** What the payment's or dispute's own movement has in the ledger, signed: this line does not post it again. */
  readonly elsewhere: Money | null;
}

/** Into the processor's balance, and out of it. */
interface Lane {
  readonly in: MovementCode;
  readonly out: MovementCode;
}

const FEE: Lane = { in: "fee.returned", out: "fee.processor" };
const BANK: Lane = { in: "payout.returned", out: "payout.processor" };
const REFUND: Lane = { in: "refund.unpaid", out: "refund.processor" };
const EXCHANGE: Lane = { in: "exchange.bought", out: "exchange.sold" };
const UNASSIGNED: Lane = { in: "unassigned.in", out: "unassigned.out" };

/**
 * All that a line does to `processor.clearing`, here and elsewhere, is its net amount in its currency. `ours`: the payment behind
 * it is in these books. Where the processor keeps its balance in another currency than the payment's, what was paid leaves in
 * its own currency and comes back in the balance's: two movements, each in one currency.
 */
export function bookingOf(line: ProcessorTransaction, ours: boolean): Booking {
  const { gross, feeNanos, lane } = line;
  const fee = move("fee", FEE, { currency: gross.currency, nanos: -feeNanos });
  if (lane === "fee") return { postings: [...fee, ...move("gross", FEE, gross)], elsewhere: null };
  if (lane === "bank") return { postings: [...fee, ...move("gross", BANK, gross)], elsewhere: null };
  const own = ours ? ownOf(line) : undefined;
  if (!own) return { postings: [...fee, ...move("gross", UNASSIGNED, gross)], elsewhere: null };
  const refunded = lane === "refund" ? move("own", REFUND, own) : [];
  return {
    postings: [...fee, ...refunded, ...changed(own, gross)],
    elsewhere: lane === "refund" ? null : own,
  };
}

/** The amount of what the line is about, with the line's sign. */
function ownOf({ lane, subject, gross }: ProcessorTransaction): Money | undefined {
  if (lane === "other" || !subject) return undefined;
  const { currency, nanos } = subject.money;
  return { currency, nanos: gross.nanos < 0n ? -nanos : nanos };
}

function changed(own: Money, gross: Money): readonly Posting[] {
  if (own.currency === gross.currency) {
    return move("rest", UNASSIGNED, { currency: gross.currency, nanos: gross.nanos - own.nanos });
  }
  return [
    ...move("from", EXCHANGE, { currency: own.currency, nanos: -own.nanos }),
    ...move("to", EXCHANGE, gross),
  ];
}

function move(part: Posting["part"], lane: Lane, { currency, nanos }: Money): readonly Posting[] {
  if (nanos === 0n) return [];
  const code = nanos > 0n ? lane.in : lane.out;
  return [{ part, code, money: { currency, nanos: nanos > 0n ? nanos : -nanos } }];
}
