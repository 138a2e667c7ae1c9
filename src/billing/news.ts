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
    };

export interface CreditNews {
  readonly kind: "CREDIT_EXPIRING" | "CREDIT_EXPIRED";
  readonly userId: string;
  readonly grantId: string;
  /** What is left, or what was. */
  readonly amount: Money;
  readonly expiresAt: Date;
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
  return { kind, userId, paymentId: row.payment_id ?? "", amount: money, failure: row.failure };
}
