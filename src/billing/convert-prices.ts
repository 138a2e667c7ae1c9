/** Prices and their plans on the wire. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  GpuPriceSchema,
  PricePlan,
  ServerlessPriceSchema,
  type GpuPrice as WireGpuPrice,
  type ServerlessPrice as WireServerlessPrice,
} from "../../gen/tensormesh/billing/v1/pricing_service_pb.js";
import { PPM_PER_PERCENT, type SavingsPlan } from "../base/gpu-savings.ts";
import { invalidArgument } from "../base/status.ts";
import { gpuTypeToWire, moneyToWire, providerToWire } from "./convert.ts";
import type { GpuPriceVersion, TokenPriceVersion } from "./pricing/index.ts";

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

/** What the public formula shares. */
const USUAL_SHARE_PERCENT = 30;

export function percentOf(ppm: bigint): number {
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
