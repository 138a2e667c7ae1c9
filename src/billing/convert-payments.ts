/** Cards, top-ups and refunds on the wire. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  RefundSchema,
  type Refund as WireRefund,
} from "../../gen/slipway/billing/v1/admin_refund_service_pb.js";
import {
  AutoTopUpSchema,
  type AutoTopUp as WireAutoTopUp,
} from "../../gen/slipway/billing/v1/auto_top_up_service_pb.js";
import { TransactionStatus } from "../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import {
  CardExpiry,
  PaymentMethodSchema,
  StripePaymentMethodType,
  type PaymentMethod as WireCard,
} from "../../gen/tensormesh/billing/v1/stripe_service_pb.js";
import { moneyToWire } from "./convert.ts";
import { type AutoTopUp, type CardOnFile, expiryOf, type RefundRow, type TopUp } from "./payments/index.ts";
import type { StatementLine } from "./statement-store.ts";

export const STATUSES: Readonly<Record<StatementLine["state"], TransactionStatus>> = {
  pending: TransactionStatus.PENDING,
  succeeded: TransactionStatus.SUCCEEDED,
  failed: TransactionStatus.FAILED,
  requires_action: TransactionStatus.REQUIRES_ACTION,
};

export function cardToWire(card: CardOnFile, now: Date): WireCard {
  return create(PaymentMethodSchema, {
    stripePaymentMethodId: card.cardId,
    brand: card.brand,
    last4: card.last4,
    type: StripePaymentMethodType.CARD,
    expMonth: card.expMonth,
    expYear: card.expYear,
    isDefault: card.isDefault,
    cardExpiry: CardExpiry[expiryOf(card, now)],
  });
}

const NEXT_STEPS: Readonly<Record<TopUp["state"], string>> = {
  succeeded: "",
  requires_action:
    "The bank wants the cardholder to confirm: hand clientSecret to Stripe.js in a browser (handleNextAction), or pay with another card.",
  pending: "The bank has not answered yet. The balance grows when it does.",
};

/** How far a top-up is, and what its cardholder does next. */
export function topUpToWire(state: TopUp["state"]) {
  return { status: STATUSES[state], nextStep: NEXT_STEPS[state] };
}

/** Off, and all else empty, where it was never set. */
export function autoTopUpToWire(one: AutoTopUp | undefined, now: Date): WireAutoTopUp {
  if (!one) return create(AutoTopUpSchema);
  const money = (nanos: bigint) => moneyToWire(nanos, one.currency);
  return create(AutoTopUpSchema, {
    enabled: one.enabled,
    threshold: money(one.thresholdNanos),
    amount: money(one.amountNanos),
    dayMax: money(one.dayMaxNanos),
    monthMax: money(one.monthMaxNanos),
    failures: one.failures,
    reason: one.failureReason ?? "",
    message: one.failure ?? "",
    ...(one.enabled && one.nextAt > now && { nextTryAt: timestampFromDate(one.nextAt) }),
  });
}

export function refundToWire(refund: RefundRow): WireRefund {
  return create(RefundSchema, {
    refundId: refund.refundId,
    stripeRefundId: refund.processorId ?? "",
    userId: refund.userId,
    amount: moneyToWire(refund.amountNanos, refund.currency),
    status: STATUSES[refund.state],
    createdAt: timestampFromDate(refund.createdAt),
  });
}
