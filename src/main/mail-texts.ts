/** The sentences that users get by mail, for what should not wait until they look. */
import { formatMoney } from "../base/money.ts";
import type { CardNews, News } from "../billing/index.ts";
import type { NewMail } from "../mail/index.ts";
import type { StatusMove } from "../models/index.ts";
import { moneyOf } from "./news-money.ts";

const TOP_UP =
  "Top up the balance, or switch on the automatic top-up: `slipway topup`, `slipway auto-topup`.";

/** Undefined for what nobody needs a mail about. */
export function mailOf(news: News): NewMail | undefined {
  const { userId } = news;
  switch (news.kind) {
    case "RUNWAY_LOW": {
      const { available, burn, runwaySeconds, markSeconds } = news;
      const lasts = durationText(runwaySeconds);
      return {
        ...{ userId, kind: "balance.runway_low", subject: `Your balance lasts for about ${lasts}` },
        body: `${formatMoney(available)} is available and you spend ${formatMoney(burn)} an hour. When it ends, models are paused with everything kept, and resume by themselves when there is money again. ${TOP_UP}`,
        data: { available: moneyOf(available), spendHourly: moneyOf(burn), runwaySeconds, markSeconds },
      };
    }
    case "BALANCE_LOW":
      return {
        ...{ userId, kind: "balance.low", subject: "Your balance is low" },
        body: `${formatMoney(news.left)} is left. ${TOP_UP}`,
        data: { balance: moneyOf(news.left), mark: moneyOf(news.mark) },
      };
    case "CREDIT_EXPIRING": {
      const { amount, grantId, expiresAt } = news;
      const until = expiresAt.toISOString();
      return {
        ...{ userId, kind: "credit.expiring", subject: "Some of your credit ends soon" },
        body: `${formatMoney(amount)} of credit that you were given can be spent until ${until.slice(0, 16).replace("T", " ")} UTC. \`slipway balance\` shows what is left.`,
        data: { grantId, amount: moneyOf(amount), expiresAt: until },
      };
    }
    case "PAYMENT_FAILED":
      return {
        ...{ userId, kind: "payment.failed", subject: "A payment failed" },
        body: `A payment of ${formatMoney(news.amount)} could not be taken from your card. \`slipway transactions list\` tells why.`,
        data: { amount: moneyOf(news.amount), reason: news.failure ?? "" },
      };
    case "PAYMENT_DISPUTED":
      return {
        ...{ userId, kind: "payment.disputed", subject: "A payment of yours is disputed" },
        body: `The bank of the card that paid ${formatMoney(news.amount)} ${news.status === "INQUIRY" ? "asks about that payment" : "takes that payment back, and it is taken from your balance"}. If you know of nothing, ask your bank. \`slipway disputes list\` shows how far it is.`,
        data: { amount: moneyOf(news.amount), status: `DISPUTE_STATUS_${news.status}`, reason: news.reason },
      };
    case "CARD_EXPIRING":
    case "CARD_EXPIRED":
      return mailOfCard(news);
    default:
      return undefined;
  }
}

function mailOfCard({ kind, userId, card }: News & { readonly card: CardNews }): NewMail {
  const { brand, last4, expMonth, expYear, isDefault } = card;
  const ended = kind === "CARD_EXPIRED";
  const used = isDefault ? " Top-ups use it, the automatic one too." : "";
  return {
    ...{ userId, kind: ended ? "card.expired" : "card.expiring" },
    subject: ended ? "A card on file has expired" : "A card on file expires soon",
    body: `Your ${brand} card that ends in ${last4} is valid through ${String(expMonth).padStart(2, "0")}/${expYear}.${used} Put a new one on file and make it the default.`,
    data: { brand, last4, expMonth, expYear },
  };
}

/** A model that stops for want of money, and when it is back. */
export function mailOfMove({ userId, modelId, from, to, reason }: StatusMove): NewMail | undefined {
  if (to !== "PAUSING" && to !== "PAUSED") return undefined;
  if (from === "PAUSING") return undefined;
  if (reason === "BUDGET_EXCEEDED") {
    return {
      ...{ userId, kind: "model.paused", subject: "A model was paused: its budget is used up" },
      body: `The model ${modelId} was paused with everything kept, because its budget can't pay for its next window of GPU time. It resumes by itself when the budget is raised or begins anew. \`slipway budgets list\` shows it.`,
      data: { modelId, reason: `CONDITION_REASON_${reason}` },
    };
  }
  if (reason !== "BALANCE_TOO_LOW") return undefined;
  return {
    ...{ userId, kind: "model.paused", subject: "A model was paused: the balance is used up" },
    body: `The model ${modelId} was paused with everything kept, because the balance can't pay for its next window of GPU time. It resumes by itself when there is money again. ${TOP_UP}`,
    data: { modelId, reason: `CONDITION_REASON_${reason}` },
  };
}

/** "40 minutes", "5 hours", "2 days": rounded down. */
function durationText(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} ${minutes === 1 ? "minute" : "minutes"}`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} hours` : `${Math.floor(hours / 24)} days`;
}
