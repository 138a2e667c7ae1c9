/** What the domains have to tell, as events of webhooks: ids, states and amounts, no names and no texts. */
import type { Money } from "../base/money.ts";
import type { CardNews, News, TellNews } from "../billing/index.ts";
import type { TxCtx } from "../db/db.ts";
import { queueMail } from "../mail/index.ts";
import type { ModelNews, ModelStatus } from "../models/index.ts";
import type { FullNews } from "../storage/index.ts";
import type { TicketChange } from "../support/index.ts";
import { announce, type EventType, type EventValue } from "../webhooks/index.ts";
import { mailOf, mailOfMove } from "./mail-texts.ts";
import { moneyOf } from "./news-money.ts";

/** Webhooks, and mail where the installation has a hook for it. */
export function newsOf(options: { readonly mail: boolean }): {
  readonly models: ModelNews;
  readonly billing: TellNews;
} {
  return {
    models: {
      async moved(tx, move) {
        const mail = options.mail ? mailOfMove(move) : undefined;
        if (mail) await queueMail(tx, mail);
        await modelNews.moved(tx, move);
      },
    },
    async billing(tx, news) {
      const mail = options.mail ? mailOf(news) : undefined;
      if (mail) await queueMail(tx, mail);
      await billingNews(tx, news);
    },
  };
}

export const modelNews: ModelNews = {
  moved: (tx, { userId, modelId, from, to, reason }) =>
    announce(tx, {
      userId,
      type: "model.status_changed",
      data: {
        modelId,
        previousStatus: statusOf(from ?? "UNSPECIFIED"),
        status: statusOf(to),
        reason: `CONDITION_REASON_${reason}`,
      },
    }),
};

export const billingNews: TellNews = (tx: TxCtx, news: News) =>
  announce(tx, { userId: news.userId, ...eventOf(news) });

function eventOf(news: News): { type: EventType; data: Record<string, EventValue> } {
  switch (news.kind) {
    case "BALANCE_LOW":
      return { type: "balance.low", data: { balance: moneyOf(news.left), mark: moneyOf(news.mark) } };
    case "RUNWAY_LOW":
      return {
        type: "balance.runway_low",
        data: {
          available: moneyOf(news.available),
          spendHourly: moneyOf(news.burn),
          runwaySeconds: news.runwaySeconds,
          markSeconds: news.markSeconds,
        },
      };
    case "CREDIT_EXPIRING":
    case "CREDIT_EXPIRED": {
      const { grantId, amount, expiresAt } = news;
      return {
        type: news.kind === "CREDIT_EXPIRED" ? "credit.expired" : "credit.expiring",
        data: { grantId, amount: moneyOf(amount), expiresAt: expiresAt.toISOString() },
      };
    }
    case "PAYMENT_FAILED":
      return { type: "payment.failed", data: { ...paymentOf(news), reason: news.failure ?? "" } };
    case "PAYMENT_SUCCEEDED":
      return { type: "payment.succeeded", data: paymentOf(news) };
    case "PAYMENT_REFUNDED":
      return { type: "payment.refunded", data: { ...paymentOf(news), stripeRefundId: news.refundId } };
    case "REFUND_FAILED":
      return { type: "payment.refund_failed", data: { ...paymentOf(news), stripeRefundId: news.refundId } };
    case "PAYMENT_DISPUTED":
      return { type: "payment.disputed", data: disputeOf(news) };
    case "DISPUTE_CLOSED":
      return { type: "dispute.closed", data: disputeOf(news) };
    case "CARD_EXPIRING":
      return { type: "card.expiring", data: cardOf(news.card) };
    case "CARD_EXPIRED":
      return { type: "card.expired", data: cardOf(news.card) };
  }
}

function disputeOf(news: Extract<News, { readonly disputeId: string }>) {
  const { disputeId: stripeDisputeId, status, reason } = news;
  return { ...paymentOf(news), stripeDisputeId, status: `DISPUTE_STATUS_${status}`, reason };
}

function cardOf({ cardId: stripePaymentMethodId, brand, last4, expMonth, expYear }: CardNews) {
  return { stripePaymentMethodId, brand, last4, expMonth, expYear };
}

function paymentOf(news: { readonly paymentId: string; readonly amount: Money }) {
  return { stripePaymentIntentId: news.paymentId, amount: moneyOf(news.amount) };
}

export const storageFull = (tx: TxCtx, { userId, storageId, limitBytes }: FullNews): Promise<void> =>
  announce(tx, { userId, type: "storage.full", data: { storageId, limitBytes: String(limitBytes) } });

export const ticketChanged = (tx: TxCtx, change: TicketChange): Promise<void> => {
  const { ticketId, userId, from, to, messageCount } = change;
  const previousStatus = `TICKET_STATUS_${from ?? "UNSPECIFIED"}`;
  const data = { ticketId, previousStatus, status: `TICKET_STATUS_${to}`, messageCount };
  return announce(tx, { userId, type: "ticket.changed", data });
};

/** As the API spells it. */
function statusOf(status: ModelStatus | "UNSPECIFIED"): string {
  return `MODEL_STATUS_${status}`;
}
