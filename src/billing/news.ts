/** What billing has to tell its users: noted by the transaction that it happens in, told once by whoever is handed in. */
import { sql } from "kysely";
import type { Money } from "../base/money.ts";
import { type DbCtx, type TxCtx, withTransaction } from "../db/db.ts";

export type News =
  /** All that is there, holds included, fell below the mark. */
  | { readonly kind: "BALANCE_LOW"; readonly userId: string; readonly left: Money; readonly mark: Money }
  /** What is available lasts for less than the mark. */
  | {
      readonly kind: "RUNWAY_LOW";
      readonly userId: string;
      readonly available: Money;
      /** What running models and tokens cost an hour. */
      readonly burn: Money;
      readonly runwaySeconds: number;
      readonly markSeconds: number;
    }
  /** What is left of a grant ends soon, or has ended unspent. */
  | CreditNews
  | {
      readonly kind: "PAYMENT_FAILED" | "PAYMENT_SUCCEEDED";
      readonly userId: string;
      /** The processor's id of it; "" where the processor never had it. */
      readonly paymentId: string;
      readonly amount: Money;
      /** Why it failed, one of the program's reasons; null when it succeeded. */
      readonly failure: string | null;
    }
  | {
      /** A refund that went out, or that the bank could not hand out. */
      readonly kind: "PAYMENT_REFUNDED" | "REFUND_FAILED";
      readonly userId: string;
      readonly paymentId: string;
      /** The processor's id of it; "" where the processor never had it. */
      readonly refundId: string;
      readonly amount: Money;
    }
  | {
      /** A payment that its cardholder's bank asks about or takes back, and how that ended. */
      readonly kind: "PAYMENT_DISPUTED" | "DISPUTE_CLOSED";
      readonly userId: string;
      readonly paymentId: string;
      readonly disputeId: string;
      readonly amount: Money;
      /** How far it is. */
      readonly status: string;
      /** The processor's word for why. */
      readonly reason: string;
    }
  | {
      readonly kind: "CARD_EXPIRING" | "CARD_EXPIRED";
      readonly userId: string;
      readonly card: CardNews;
    };

export interface CreditNews {
  readonly kind: "CREDIT_EXPIRING" | "CREDIT_EXPIRED";
  readonly userId: string;
  readonly grantId: string;
  /** What is left, or what was. */
  readonly amount: Money;
  readonly expiresAt: Date;
}

/** A card as its holder knows it. */
export interface CardNews {
  readonly cardId: string;
  readonly brand: string;
  readonly last4: string;
  readonly expMonth: number;
  readonly expYear: number;
  /** Top-ups use it when none is named, the automatic ones too. */
  readonly isDefault: boolean;
}

/** Called in the transaction that forgets the news: it is told once, or again when that transaction fails. */
export type TellNews = (tx: TxCtx, news: News) => Promise<void>;

/** News of one transaction; what is left waits for the next one. */
const BATCH_MAX = 200;

/** Notes how a payment ended, in the transaction that ends it. Low balances note themselves where money moves, in the ledger. */
export async function notePayment(
  tx: TxCtx,
  payment: {
    readonly userId: string;
    readonly paymentId: string;
    readonly amount: Money;
    readonly failure: string | null;
  },
): Promise<void> {
  const { userId, paymentId, amount, failure } = payment;
  const kind = failure === null ? "PAYMENT_SUCCEEDED" : "PAYMENT_FAILED";
  await sql`
    insert into billing_news (kind, user_id, currency, amount, payment_id, failure)
    values (${kind}, ${userId}, ${amount.currency}, ${amount.nanos}, ${paymentId}, ${failure})`.execute(
    tx.db,
  );
}

/** Notes that the runway is shorter than a mark, in the transaction that remembers that it was told. */
export async function noteRunway(
  tx: TxCtx,
  runway: {
    readonly userId: string;
    readonly available: Money;
    readonly burnNanos: bigint;
    readonly runwaySeconds: number;
    readonly markSeconds: number;
  },
): Promise<void> {
  const { userId, available, burnNanos, runwaySeconds, markSeconds } = runway;
  const details = { burnNanos: burnNanos.toString(), runwaySeconds, markSeconds };
  await sql`
    insert into billing_news (kind, user_id, currency, amount, details)
    values ('RUNWAY_LOW', ${userId}, ${available.currency}, ${available.nanos}, ${JSON.stringify(details)}::jsonb)`.execute(
    tx.db,
  );
}

/** Notes what becomes of a grant, in the transaction that ends it or that remembers that its end was told. */
export async function noteCredit(tx: TxCtx, news: CreditNews): Promise<void> {
  const { kind, userId, grantId, amount, expiresAt } = news;
  const details = { grantId, expiresAt: expiresAt.toISOString() };
  await sql`
    insert into billing_news (kind, user_id, currency, amount, details)
    values (${kind}, ${userId}, ${amount.currency}, ${amount.nanos}, ${JSON.stringify(details)}::jsonb)`.execute(
    tx.db,
  );
}

/** Notes how a refund ended, in the transaction that ends it. */
export async function noteRefund(
  tx: TxCtx,
  refund: {
    readonly userId: string;
    readonly paymentId: string;
    readonly refundId: string;
    readonly amount: Money;
    readonly failed: boolean;
  },
): Promise<void> {
  const { userId, paymentId, refundId, amount, failed } = refund;
  await insertNews(tx, {
    kind: failed ? "REFUND_FAILED" : "PAYMENT_REFUNDED",
    ...{ userId, paymentId, amount, details: { refundId } },
  });
}

/** Notes a dispute that began or ended, in the transaction that writes it down. */
export async function noteDispute(
  tx: TxCtx,
  dispute: {
    readonly userId: string;
    readonly paymentId: string;
    readonly disputeId: string;
    readonly amount: Money;
    readonly status: string;
    readonly reason: string;
    readonly over: boolean;
  },
): Promise<void> {
  const { userId, paymentId, amount, disputeId, status, reason, over } = dispute;
  await insertNews(tx, {
    kind: over ? "DISPUTE_CLOSED" : "PAYMENT_DISPUTED",
    ...{ userId, paymentId, amount, details: { disputeId, status, reason } },
  });
}

/** Notes that a card ends soon or has ended, in the transaction that remembers that it was told. */
export async function noteCard(
  tx: TxCtx,
  input: { readonly userId: string; readonly card: CardNews; readonly expired: boolean },
): Promise<void> {
  const kind = input.expired ? "CARD_EXPIRED" : "CARD_EXPIRING";
  await insertNews(tx, { kind, userId: input.userId, paymentId: null, details: { card: input.card } });
}

async function insertNews(
  tx: TxCtx,
  news: {
    readonly kind: News["kind"];
    readonly userId: string;
    readonly paymentId: string | null;
    /** Absent: it is not about money. */
    readonly amount?: Money;
    readonly details: object;
  },
): Promise<void> {
  const { kind, userId, paymentId, amount, details } = news;
  await sql`
    insert into billing_news (kind, user_id, currency, amount, payment_id, details)
    values (${kind}, ${userId}, ${amount?.currency ?? ""}, ${amount?.nanos ?? 0n}, ${paymentId}, ${JSON.stringify(details)}::jsonb)`.execute(
    tx.db,
  );
}

/** Tells what was noted and forgets it; returns how much. User by user: whoever is told may lock something of each. */
export function tellNews(ctx: DbCtx, tell: TellNews): Promise<number> {
  return withTransaction(ctx, async (tx) => {
    const rows = await takeNews(tx);
    for (const row of rows) await tell(tx, newsOf(row));
    return rows.length;
  });
}

interface Row {
  readonly id: bigint;
  readonly kind: News["kind"];
  readonly user_id: string;
  readonly currency: string;
  readonly amount: bigint;
  readonly mark: bigint | null;
  readonly payment_id: string | null;
  readonly failure: string | null;
  readonly details: {
    readonly burnNanos?: string;
    readonly runwaySeconds?: number;
    readonly markSeconds?: number;
    readonly grantId?: string;
    readonly expiresAt?: string;
    readonly refundId?: string;
    readonly disputeId?: string;
    readonly status?: string;
    readonly reason?: string;
    readonly card?: CardNews;
  };
}

async function takeNews(tx: TxCtx): Promise<readonly Row[]> {
  const { rows } = await sql<Row>`
    with taken as (
      delete from billing_news where id in (
        select id from billing_news order by id limit ${BATCH_MAX} for update skip locked
      ) returning *
    )
    select * from taken order by user_id, id`.execute(tx.db);
  return rows;
}

function newsOf(row: Row): News {
  const { kind, user_id: userId, currency } = row;
  const money = { currency, nanos: row.amount };
  if (kind === "BALANCE_LOW") return { kind, userId, left: money, mark: { currency, nanos: row.mark ?? 0n } };
  if (kind === "RUNWAY_LOW") {
    const { burnNanos = "0", runwaySeconds = 0, markSeconds = 0 } = row.details;
    const burn = { currency, nanos: BigInt(burnNanos) };
    return { kind, userId, available: money, burn, runwaySeconds, markSeconds };
  }
  if (kind === "CREDIT_EXPIRING" || kind === "CREDIT_EXPIRED") {
    const { grantId = "", expiresAt = "" } = row.details;
    return { kind, userId, grantId, amount: money, expiresAt: new Date(expiresAt) };
  }
  if (kind === "CARD_EXPIRING" || kind === "CARD_EXPIRED") {
    return { kind, userId, card: row.details.card ?? NO_CARD };
  }
  const payment = { userId, paymentId: row.payment_id ?? "", amount: money };
  const { refundId = "", disputeId = "", status = "", reason = "" } = row.details;
  if (kind === "PAYMENT_REFUNDED" || kind === "REFUND_FAILED") return { kind, ...payment, refundId };
  if (kind === "PAYMENT_DISPUTED" || kind === "DISPUTE_CLOSED") {
    return { kind, ...payment, disputeId, status, reason };
  }
  return { kind, ...payment, failure: row.failure };
}

/** News of a card are never noted without it. */
const NO_CARD: CardNews = { cardId: "", brand: "", last4: "", expMonth: 0, expYear: 0, isDefault: false };
