/** The wire of what-ifs. */
import { create } from "@bufbuild/protobuf";
import type { Money } from "../../gen/google/type/money_pb.js";
import {
  type ComputeWhatIfRequest,
  ComputeWhatIfResponseSchema,
} from "../../gen/slipway/billing/v1/receipt_service_pb.js";
import { MILLION, type WhatIfChange } from "../base/what-if.ts";
import { moneyFromWire, moneyToWire } from "./convert.ts";
import type { MonthWhatIf, WhatIfQuery } from "./what-if-of-month.ts";

export function whatIfFromWire(request: ComputeWhatIfRequest, userId: string): WhatIfQuery {
  const given: readonly (readonly [field: string, name: keyof WhatIfChange, price: Money | undefined])[] = [
    ["input_price_per_million", "inputNanosPerMillion", request.inputPricePerMillion],
    ["cached_price_per_million", "cachedNanosPerMillion", request.cachedPricePerMillion],
    ["output_price_per_million", "outputNanosPerMillion", request.outputPricePerMillion],
    ["gpu_hourly_rate", "gpuNanosPerHour", request.gpuHourlyRate],
  ];
  const prices = given.flatMap(([field, name, price]) =>
    price === undefined ? [] : [{ field, name, price: moneyFromWire(price) }],
  );
  const { gpuSpeed, cacheHitRate } = request;
  return {
    userId,
    modelId: request.modelId.toLowerCase(),
    month: request.month,
    prices: Object.fromEntries(prices.map(({ field, price }) => [field, price])),
    change: {
      ...Object.fromEntries(prices.map(({ name, price }) => [name, price.nanos])),
      ...(gpuSpeed !== undefined && { gpuSpeedPpm: ppm(gpuSpeed) }),
      ...(cacheHitRate !== undefined && { cacheHitPpm: ppm(cacheHitRate) }),
    },
  };
}

/** The edge has checked its range. */
function ppm(value: number): bigint {
  return BigInt(Math.round(value * Number(MILLION)));
}

export function whatIfToWire({ month, currency, lines }: MonthWhatIf) {
  const sums = (chargedNanos: bigint, computedNanos: bigint) => ({
    charged: moneyToWire(chargedNanos, currency),
    computed: moneyToWire(computedNanos, currency),
    difference: moneyToWire(computedNanos - chargedNanos, currency),
  });
  const total = (of: "chargedNanos" | "computedNanos") => lines.reduce((sum, line) => sum + line[of], 0n);
  return create(ComputeWhatIfResponseSchema, {
    month,
    lines: lines.map(({ modelId, servedName, receipts, chargedNanos, computedNanos }) => ({
      ...{ modelId, servedName, receipts: BigInt(receipts) },
      ...sums(chargedNanos, computedNanos),
    })),
    ...sums(total("chargedNanos"), total("computedNanos")),
  });
}
