/** What the domains have to tell, as events of webhooks: ids, states and amounts, no names and no texts. */
import { type Money, NANOS_PER_UNIT } from "../base/money.ts";
import type { TellNews } from "../billing/index.ts";
import type { TxCtx } from "../db/db.ts";
import type { ModelNews, ModelStatus } from "../models/index.ts";
import type { FullNews } from "../storage/index.ts";
import type { TicketChange } from "../support/index.ts";
import { announce, type EventValue } from "../webhooks/index.ts";

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

export const billingNews: TellNews = (tx, news) => {
  const { userId } = news;
  if (news.kind === "BALANCE_LOW") {
    const data = { balance: moneyOf(news.left), mark: moneyOf(news.mark) };
    return announce(tx, { userId, type: "balance.low", data });
  }
  const payment = { stripePaymentIntentId: news.paymentId, amount: moneyOf(news.amount) };
  return news.kind === "PAYMENT_FAILED"
    ? announce(tx, { userId, type: "payment.failed", data: { ...payment, reason: news.failure ?? "" } })
    : announce(tx, { userId, type: "payment.succeeded", data: payment });
};

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

/** google.type.Money as the API writes it in JSON. */
function moneyOf({ currency, nanos }: Money): EventValue {
  return {
    currencyCode: currency,
    units: (nanos / NANOS_PER_UNIT).toString(),
    nanos: Number(nanos % NANOS_PER_UNIT),
  };
}
