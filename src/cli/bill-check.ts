/** A bill computed again from its receipts alone: what each says was counted, at the prices that it names. Pure. */
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import type { Money } from "../../gen/google/type/money_pb.js";
import { type Receipt, ReceiptSchema } from "../../gen/slipway/billing/v1/receipt_service_pb.js";
import { estimatePpm, PPM_PER_PERCENT, sharedSavings } from "../base/gpu-savings.ts";
import { nanosForDuration, nanosForTokens } from "../base/money.ts";
import { invalidArgument } from "../base/status.ts";
import type { CountedReceipt, CountedTime } from "../base/what-if.ts";
import { nanosOf } from "./human.ts";

/** A receipt whose charge is not what its counts come to. */
export interface Difference {
  readonly receiptId: string;
  readonly currency: string;
  readonly chargedNanos: bigint;
  readonly computedNanos: bigint;
}

export interface BillCheck {
  readonly receipts: number;
  /** Receipts that the list has twice; counted once. */
  readonly repeated: number;
  /** By currency. */
  readonly charged: ReadonlyMap<string, bigint>;
  readonly computed: ReadonlyMap<string, bigint>;
  /** Charged too much. */
  readonly over: readonly Difference[];
  /** Charged less: what nobody could pay was written off, and is no debt. */
  readonly under: readonly Difference[];
}

/** Parses receipts: a list as REST answers it, an array, or one receipt a line. Throws INVALID_FIELD with the line. */
export function receiptsOf(text: string): readonly Receipt[] {
  const whole = parsed(text);
  if (whole !== undefined) return itemsOf(whole).map((json, at) => receiptOf(json, at + 1));
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line, at) => receiptOf(parsed(line), at + 1));
}

function itemsOf(json: JsonValue): readonly JsonValue[] {
  if (Array.isArray(json)) return json;
  if (typeof json !== "object" || json === null || Array.isArray(json)) return [json];
  return Array.isArray(json.receipts) ? json.receipts : [json];
}

function receiptOf(json: JsonValue | undefined, at: number): Receipt {
  const inner =
    typeof json === "object" && json !== null && !Array.isArray(json) ? (json.receipt ?? json) : json;
  try {
    const receipt = fromJson(ReceiptSchema, inner ?? null, { ignoreUnknownFields: true });
    if (receipt.receiptId !== "" && receipt.usage.case !== undefined) return receipt;
  } catch {
    // said below, with its place
  }
  throw invalidArgument([{ field: "file", description: `has no receipt as number ${at}` }]);
}

function parsed(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue; // any JSON is one
  } catch {
    return undefined;
  }
}

/** Computes every receipt again. */
export function checkBill(receipts: readonly Receipt[]): BillCheck {
  const once = new Map(receipts.map((receipt) => [receipt.receiptId, receipt]));
  const charged = new Map<string, bigint>();
  const computed = new Map<string, bigint>();
  const over: Difference[] = [];
  const under: Difference[] = [];
  for (const receipt of once.values()) {
    const currency = receipt.charge?.currencyCode ?? "";
    const chargedNanos = nanosIn(receipt.charge);
    const bounds = boundsOf(receipt);
    // Windows share their rounding: one that does not tell its part may be a nano more than its own time comes to.
    const computedNanos = chargedNanos === bounds.most ? chargedNanos : bounds.least;
    add(charged, currency, chargedNanos);
    add(computed, currency, computedNanos);
    const found = { receiptId: receipt.receiptId, currency, chargedNanos, computedNanos };
    if (chargedNanos > bounds.most) over.push(found);
    else if (chargedNanos < bounds.least) under.push(found);
  }
  return { receipts: once.size, repeated: receipts.length - once.size, charged, computed, over, under };
}

/** Receipts as the what-if takes them. */
export function countedReceipts(receipts: readonly Receipt[]): readonly CountedReceipt[] {
  return receipts.map((receipt) => ({
    receiptId: receipt.receiptId,
    modelId: receipt.modelId,
    servedName: receipt.servedName,
    currency: receipt.charge?.currencyCode ?? "",
    chargeNanos: nanosIn(receipt.charge),
    usage: countedUsage(receipt),
  }));
}

function countedUsage({ usage, priceVersionId }: Receipt): CountedReceipt["usage"] {
  if (usage.case === "gpu") {
    const { gpuCount, chargedMs, hourlyRate, valueSharePercent } = usage.value;
    const sharePpm = BigInt(valueSharePercent) * PPM_PER_PERCENT;
    const estimate = estimatePpm({ ...usage.value, sharePpm }, usage.value);
    return {
      ...{ kind: "gpu", gpuCount, chargedMs, sharePpm },
      ...{ nanosPerHour: nanosIn(hourlyRate), estimatePpm: estimate },
    };
  }
  const tokens = usage.case === "tokens" ? usage.value : undefined;
  return {
    kind: "tokens",
    priced: priceVersionId !== "",
    promptTokens: tokens?.promptTokens ?? 0n,
    cachedTokens: tokens?.cachedTokens ?? 0n,
    completionTokens: tokens?.completionTokens ?? 0n,
    inputNanosPerMillion: nanosIn(tokens?.inputPricePerMillion),
    cachedNanosPerMillion: nanosIn(tokens?.cachedPricePerMillion),
    outputNanosPerMillion: nanosIn(tokens?.outputPricePerMillion),
  };
}

/** What a receipt may have been charged: exactly that, or to a nano for a window that does not tell what it was rounded with. */
function boundsOf(receipt: Receipt): { readonly least: bigint; readonly most: bigint } {
  const usage = countedUsage(receipt);
  if (usage.kind === "gpu") {
    const before = receipt.usage.case === "gpu" ? receipt.usage.value.pricedMsBefore : undefined;
    const { nanosPerHour, chargedMs } = usage;
    if (before !== undefined) {
      const sum = nanosForDuration(nanosPerHour, before + chargedMs);
      const exact = withShare(usage, sum - nanosForDuration(nanosPerHour, before));
      return { least: exact, most: exact };
    }
    const least = nanosForDuration(nanosPerHour, chargedMs);
    return { least: withShare(usage, least), most: withShare(usage, least + 1n) };
  }
  const { promptTokens, cachedTokens, completionTokens } = usage;
  const exact = nanosForTokens([
    { tokens: promptTokens - cachedTokens, nanosPerMillion: usage.inputNanosPerMillion },
    { tokens: cachedTokens, nanosPerMillion: usage.cachedNanosPerMillion },
    { tokens: completionTokens, nanosPerMillion: usage.outputNanosPerMillion },
  ]);
  return { least: exact, most: exact };
}

function withShare(usage: CountedTime, timeNanos: bigint): bigint {
  return timeNanos + sharedSavings(usage, timeNanos, usage.estimatePpm).shareNanos;
}

function nanosIn(money: Money | undefined): bigint {
  return money === undefined ? 0n : nanosOf(money);
}

function add(sums: Map<string, bigint>, currency: string, nanos: bigint): void {
  if (currency !== "") sums.set(currency, (sums.get(currency) ?? 0n) + nanos);
}
