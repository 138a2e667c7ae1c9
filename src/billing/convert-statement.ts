/** Transactions, spending and receipts on the wire. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  ReceiptSchema,
  type Receipt as WireReceipt,
} from "../../gen/slipway/billing/v1/receipt_service_pb.js";
import {
  BillingTransactionSchema,
  TransactionType,
  type BillingTransaction as WireTransaction,
} from "../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { formatMoney } from "../base/money.ts";
import { gpuTypeToWire, moneyToWire } from "./convert.ts";
import { STATUSES } from "./convert-payments.ts";
import { percentOf } from "./convert-prices.ts";
import type { MovementCode } from "./ledger/index.ts";
import type { Receipt } from "./receipt-store.ts";
import type { SpendingHistory, SpendingSummary } from "./spending/index.ts";
import type { StatementLine } from "./statement-store.ts";

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
