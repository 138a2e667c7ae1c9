/** Where the wire's words for money, prices, transactions and receipts meet ours. */
import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { MoneySchema, type Money as WireMoney } from "../../gen/google/type/money_pb.js";
import {
  RefundSchema,
  type Refund as WireRefund,
} from "../../gen/slipway/billing/v1/admin_refund_service_pb.js";
import {
  AutoTopUpSchema,
  type AutoTopUp as WireAutoTopUp,
} from "../../gen/slipway/billing/v1/auto_top_up_service_pb.js";
import {
  BudgetSchema,
  type Budget as WireBudget,
  BudgetKind as WireBudgetKind,
  BudgetPeriod as WireBudgetPeriod,
} from "../../gen/slipway/billing/v1/budget_service_pb.js";
import {
  ReceiptSchema,
  type Receipt as WireReceipt,
} from "../../gen/slipway/billing/v1/receipt_service_pb.js";
import {
  BillingTransactionSchema,
  TransactionStatus,
  TransactionType,
  type BillingTransaction as WireTransaction,
} from "../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import {
  GpuPriceSchema,
  PricePlan,
  ServerlessPriceSchema,
  type GpuPrice as WireGpuPrice,
  type ServerlessPrice as WireServerlessPrice,
} from "../../gen/tensormesh/billing/v1/pricing_service_pb.js";
import {
  CardExpiry,
  PaymentMethodSchema,
  StripePaymentMethodType,
  type PaymentMethod as WireCard,
} from "../../gen/tensormesh/billing/v1/stripe_service_pb.js";
import { CloudProvider } from "../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { GPUType } from "../../gen/tensormesh/common/v1/gpu_type_pb.js";
import type { SavingsPlan } from "../base/gpu-savings.ts";
import { formatMoney, type Money, NANOS_PER_UNIT } from "../base/money.ts";
import { invalidArgument } from "../base/status.ts";
import type { GpuType } from "../engines/engine.ts";
import { type BudgetKind, type BudgetPeriod, type BudgetUse, leftOf } from "./budgets/index.ts";
import type { MovementCode } from "./ledger/index.ts";
import { type AutoTopUp, type CardOnFile, expiryOf, type RefundRow, type TopUp } from "./payments/index.ts";
import type { GpuPriceVersion, Provider, TokenPriceVersion } from "./pricing/index.ts";
import type { Receipt } from "./receipt-store.ts";
import type { SpendingHistory, SpendingSummary } from "./spending/index.ts";
import type { StatementLine } from "./statement-store.ts";

/** Units and nanos carry the same sign. */
export function moneyToWire(nanos: bigint, currencyCode: string): WireMoney {
  return create(MoneySchema, {
    currencyCode,
    units: nanos / NANOS_PER_UNIT,
    nanos: Number(nanos % NANOS_PER_UNIT),
  });
}

/** The edge has checked that it is there. */
export function moneyFromWire(money: WireMoney | undefined): Money {
  if (!money) return { currency: "", nanos: 0n };
  return { currency: money.currencyCode, nanos: money.units * NANOS_PER_UNIT + BigInt(money.nanos) };
}

const PERIODS: readonly (readonly [BudgetPeriod, WireBudgetPeriod])[] = [
  ["day", WireBudgetPeriod.DAY],
  ["month", WireBudgetPeriod.MONTH],
  ["total", WireBudgetPeriod.TOTAL],
];

/** Undefined where the wire names none. */
export function periodFromWire(period: WireBudgetPeriod): BudgetPeriod | undefined {
  return PERIODS.find(([, wire]) => wire === period)?.[0];
}

const BUDGET_KINDS: readonly (readonly [BudgetKind, WireBudgetKind])[] = [
  ["key", WireBudgetKind.KEY],
  ["model", WireBudgetKind.MODEL],
  ["catalog", WireBudgetKind.CATALOG],
];

/** Undefined where the wire names none. */
export function budgetKindFromWire(kind: WireBudgetKind): BudgetKind | undefined {
  return BUDGET_KINDS.find(([, wire]) => wire === kind)?.[0];
}

export function budgetToWire(use: BudgetUse): WireBudget {
  const money = (nanos: bigint) => moneyToWire(nanos, use.currency);
  return create(BudgetSchema, {
    budgetId: use.budgetId,
    userId: use.userId,
    kind: BUDGET_KINDS.find(([ours]) => ours === use.kind)?.[1] ?? WireBudgetKind.UNSPECIFIED,
    subject: use.subject,
    period: PERIODS.find(([ours]) => ours === use.period)?.[1] ?? WireBudgetPeriod.UNSPECIFIED,
    limit: money(use.limitNanos),
    spent: money(use.spentNanos),
    reserved: money(use.reservedNanos),
    left: money(leftOf(use)),
    ...(use.resetsAt && {
      startsAt: timestampFromDate(use.startsAt),
      resetsAt: timestampFromDate(use.resetsAt),
    }),
    createdAt: timestampFromDate(use.createdAt),
    changedAt: timestampFromDate(use.changedAt),
  });
}

/** Absent is null. */
export function dateFromWire(timestamp: Timestamp | undefined): Date | null {
  return timestamp === undefined ? null : timestampDate(timestamp);
}

const PROVIDERS: readonly (readonly [Provider, CloudProvider])[] = [
  ["ONPREM", CloudProvider.ONPREM],
  ["NEBIUS", CloudProvider.NEBIUS],
  ["LAMBDA", CloudProvider.LAMBDA],
  ["YOTTA", CloudProvider.YOTTA],
];

/** Undefined where the wire names none. */
export function providerFromWire(provider: CloudProvider): Provider | undefined {
  return PROVIDERS.find(([, wire]) => wire === provider)?.[0];
}

export function providerToWire(provider: Provider): CloudProvider {
  return PROVIDERS.find(([ours]) => ours === provider)?.[1] ?? CloudProvider.UNSPECIFIED;
}

const GPU_TYPES: readonly (readonly [GpuType, GPUType])[] = [
  ["UNSPECIFIED", GPUType.GPU_TYPE_UNSPECIFIED],
  ["A100", GPUType.GPU_TYPE_A100],
  ["H100", GPUType.GPU_TYPE_H100],
  ["H200", GPUType.GPU_TYPE_H200],
  ["B200", GPUType.GPU_TYPE_B200],
];

export function gpuTypeFromWire(type: GPUType): GpuType {
  return GPU_TYPES.find(([, wire]) => wire === type)?.[0] ?? "UNSPECIFIED";
}

export function gpuTypeToWire(type: GpuType): GPUType {
  return GPU_TYPES.find(([ours]) => ours === type)?.[1] ?? GPUType.GPU_TYPE_UNSPECIFIED;
}

export function gpuPriceToWire(price: GpuPriceVersion): WireGpuPrice {
  return create(GpuPriceSchema, {
    gpuType: gpuTypeToWire(price.gpuType),
    cloudProvider: providerToWire(price.provider),
    hourlyRate: moneyToWire(price.nanosPerHour, price.currency),
    isActive: price.active,
    isRemoved: price.removed,
    region: price.region,
    priceVersionId: price.versionId,
    validFrom: timestampFromDate(price.validFrom),
    pricePlan: price.sharePpm > 0n ? PricePlan.VALUE_SHARE : PricePlan.PASS_THROUGH,
    valueSharePercent: percentOf(price.sharePpm),
    prefillTokensPerSecond: price.prefillTokensPerSecond,
  });
}

const PPM_PER_PERCENT = 10_000n;
/** What the public formula shares. */
const USUAL_SHARE_PERCENT = 30;

function percentOf(ppm: bigint): number {
  return Number(ppm / PPM_PER_PERCENT);
}

/** Throws INVALID_FIELD where share and plan don't go together, or nothing says how the savings are estimated. */
export function savingsPlanFromWire(request: {
  readonly pricePlan: PricePlan;
  readonly valueSharePercent: number;
  readonly prefillTokensPerSecond: bigint;
}): SavingsPlan {
  const { pricePlan, valueSharePercent, prefillTokensPerSecond } = request;
  const shares = pricePlan === PricePlan.VALUE_SHARE;
  const violations = [
    ...(shares || valueSharePercent === 0
      ? []
      : [{ field: "value_share_percent", description: "must be zero unless price_plan is VALUE_SHARE" }]),
    ...(!shares || prefillTokensPerSecond > 0n
      ? []
      : [{ field: "prefill_tokens_per_second", description: "must be given with VALUE_SHARE" }]),
  ];
  if (violations.length > 0) throw invalidArgument(violations);
  const percent = shares ? valueSharePercent || USUAL_SHARE_PERCENT : 0;
  return { sharePpm: BigInt(percent) * PPM_PER_PERCENT, prefillTokensPerSecond };
}

export function tokenPriceToWire(price: TokenPriceVersion): WireServerlessPrice {
  return create(ServerlessPriceSchema, {
    model: price.servedName,
    inputPricePerMillion: moneyToWire(price.inputNanosPerMillion, price.currency),
    cachedPricePerMillion: moneyToWire(price.cachedNanosPerMillion, price.currency),
    outputPricePerMillion: moneyToWire(price.outputNanosPerMillion, price.currency),
    isActive: price.active,
    isRemoved: price.removed,
    priceVersionId: price.versionId,
    validFrom: timestampFromDate(price.validFrom),
  });
}

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

const TYPES: readonly (readonly [MovementCode, TransactionType, string])[] = [
  ["topup.card", TransactionType.TOP_UP, "Top-up by card"],
  ["credit.grant", TransactionType.CREDIT, "Credit"],
  ["credit.expire", TransactionType.CREDIT, "Credit that expired"],
  ["charge.gpu", TransactionType.GPU_USAGE, "GPU time"],
  ["charge.tokens", TransactionType.TOKEN_USAGE, "Tokens"],
  ["refund.card", TransactionType.REFUND, "Refund to the card"],
  ["refund.returned", TransactionType.REFUND, "Refund that the bank did not take"],
  ["adjustment.credit", TransactionType.ADJUSTMENT, "Correction by the operator"],
  ["adjustment.debit", TransactionType.ADJUSTMENT, "Correction by the operator"],
  ["settle.receivable", TransactionType.ADJUSTMENT, "Settlement of a disputed payment"],
  ["dispute.card", TransactionType.DISPUTE, "Payment disputed at the bank"],
  ["dispute.returned", TransactionType.DISPUTE, "Disputed payment that was won"],
];

/** The codes of a kind of transaction; undefined where the wire names none: all. */
export function codesFromWire(type: TransactionType): readonly MovementCode[] | undefined {
  if (type === TransactionType.UNSPECIFIED) return undefined;
  return TYPES.filter(([, wire]) => wire === type).map(([code]) => code);
}

const STATUSES: Readonly<Record<StatementLine["state"], TransactionStatus>> = {
  pending: TransactionStatus.PENDING,
  succeeded: TransactionStatus.SUCCEEDED,
  failed: TransactionStatus.FAILED,
  requires_action: TransactionStatus.REQUIRES_ACTION,
};

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

export function lineToWire(line: StatementLine): WireTransaction {
  const [, type = TransactionType.UNSPECIFIED] = TYPES.find(([code]) => code === line.code) ?? [];
  const details = detailsOf(line);
  return create(BillingTransactionSchema, {
    transactionId: line.id,
    stripePaymentIntentId: line.processorId ?? "",
    paymentMethodId: line.cardId ?? "",
    description: describe(line),
    createdAt: timestampFromDate(line.at),
    amount: moneyToWire(line.nanos, line.currency),
    status: STATUSES[line.state],
    type,
    code: line.code,
    modelId: line.modelId ?? "",
    ...(details && { details }),
  });
}

function describe(line: StatementLine): string {
  if (line.gpu) {
    const what = line.gpu.gpuCount === 0 ? "CPU time" : `Time on ${line.gpu.gpuCount} GPU`;
    return `${what}, ${(line.gpu.chargedMs / 1_000).toFixed(0)} s`;
  }
  if (line.tokens) {
    const requests = line.tokens.models.reduce((total, one) => total + one.requests, 0);
    return `Tokens in ${line.tokens.month}, ${requests} ${requests === 1 ? "request" : "requests"}`;
  }
  const [, , words = line.code] = TYPES.find(([code]) => code === line.code) ?? [];
  return line.note === "" ? words : `${words}: ${line.note}`;
}

function detailsOf(line: StatementLine) {
  if (line.gpu) {
    const { windowId: receiptId, slot, gpuCount, chargedMs, priceVersionId } = line.gpu;
    return { receiptId, slot, gpuCount, seconds: chargedMs / 1_000, priceVersionId };
  }
  if (!line.tokens) return undefined;
  const models = line.tokens.models.map(({ chargeNanos, savingNanos, ...counts }) => ({
    ...counts,
    charge: formatMoney({ currency: line.currency, nanos: BigInt(chargeNanos) }),
    costSaving: formatMoney({ currency: line.currency, nanos: BigInt(savingNanos) }),
  }));
  return { month: line.tokens.month, models };
}

export function spendingToWire({ nanos, currency }: SpendingSummary) {
  return {
    spend24h: moneyToWire(nanos["24h"], currency),
    spend7d: moneyToWire(nanos["7d"], currency),
    spend30d: moneyToWire(nanos["30d"], currency),
  };
}

export function spendingHistoryToWire({ days, currency }: SpendingHistory) {
  return days.map((day) => ({
    bucketStart: timestampFromDate(day.startsAt),
    amount: moneyToWire(day.chargeNanos, currency),
    costSaving: moneyToWire(day.savingNanos, currency),
  }));
}

export function receiptToWire(receipt: Receipt): WireReceipt {
  const { currency } = receipt;
  return create(ReceiptSchema, {
    receiptId: receipt.receiptId,
    userId: receipt.userId,
    modelId: receipt.modelId,
    servedName: receipt.servedName,
    createdAt: timestampFromDate(receipt.at),
    priceVersionId: receipt.priceVersionId ?? "",
    charge: moneyToWire(receipt.chargeNanos, currency),
    costSaving: moneyToWire(receipt.savingNanos, currency),
    transferId: receipt.transferId?.toString() ?? "",
    usage: usageToWire(receipt.usage, currency),
  });
}

function usageToWire(usage: Receipt["usage"], currency: string) {
  if (usage.kind === "tokens") {
    const { promptTokens, cachedTokens, completionTokens, estimated } = usage;
    const value = {
      ...{ promptTokens, cachedTokens, completionTokens, estimated },
      inputPricePerMillion: moneyToWire(usage.inputNanosPerMillion, currency),
      cachedPricePerMillion: moneyToWire(usage.cachedNanosPerMillion, currency),
      outputPricePerMillion: moneyToWire(usage.outputNanosPerMillion, currency),
    };
    return { case: "tokens", value } as const;
  }
  const value = {
    ...{ replica: usage.replica, gpuCount: usage.gpuCount, chargedMs: usage.chargedMs },
    ...(usage.pricedMsBefore !== null && { pricedMsBefore: usage.pricedMsBefore }),
    gpuType: gpuTypeToWire(usage.gpuType),
    hourlyRate: moneyToWire(usage.nanosPerHour, currency),
    ...{ cachedTokens: usage.cachedTokens, prefillTokensPerSecond: usage.prefillTokensPerSecond },
    estimatedSavingsPpm: usage.estimatePpm,
    valueSharePercent: percentOf(usage.sharePpm),
    valueShare: moneyToWire(usage.shareNanos, currency),
    ...(usage.windowStart && { windowStart: timestampFromDate(usage.windowStart) }),
    ...(usage.windowEnd && { windowEnd: timestampFromDate(usage.windowEnd) }),
  };
  return { case: "gpu", value } as const;
}
