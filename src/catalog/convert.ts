/** Where the wire's words for the catalogue meet ours. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Money, MoneySchema } from "../../gen/google/type/money_pb.js";
import {
  CatalogEntrySchema,
  type PublishModelRequest,
  type CatalogEntry as WireEntry,
} from "../../gen/slipway/catalog/v1/catalog_service_pb.js";
import { NANOS_PER_UNIT } from "../base/money.ts";
import { invalidArgument } from "../base/status.ts";
import type { CatalogLimits, NewPrice, Published } from "./model.ts";

/** The three prices of a request. Throws CURRENCY_MISMATCH where they are in different currencies. */
export function priceFromWire(request: PublishModelRequest): NewPrice {
  const parts = {
    input_price_per_million: request.inputPricePerMillion,
    cached_price_per_million: request.cachedPricePerMillion,
    output_price_per_million: request.outputPricePerMillion,
  };
  const currency = request.inputPricePerMillion?.currencyCode ?? "";
  const violations = Object.entries(parts)
    .filter(([, money]) => money?.currencyCode !== currency)
    .map(([field]) => ({
      field,
      description: `must be in ${currency}, as the other prices are`,
      reason: "CURRENCY_MISMATCH" as const,
    }));
  if (violations.length > 0) throw invalidArgument(violations);
  return {
    currency,
    inputNanosPerMillion: nanosOf(request.inputPricePerMillion),
    cachedNanosPerMillion: nanosOf(request.cachedPricePerMillion),
    outputNanosPerMillion: nanosOf(request.outputPricePerMillion),
  };
}

export function limitsFromWire(request: PublishModelRequest): CatalogLimits {
  const { concurrencyMax = 0, outputTokensMax = 0 } = request.limits ?? {};
  return { concurrencyMax, outputTokensMax };
}

/** The deployment behind an entry is for administrators only. */
export function entryToWire(entry: Published, available: boolean, forAdmin: boolean): WireEntry {
  const { price } = entry;
  return create(CatalogEntrySchema, {
    servedName: entry.servedName,
    modelId: forAdmin ? entry.modelId : "",
    inputPricePerMillion: moneyOf(price.currency, price.inputNanosPerMillion),
    cachedPricePerMillion: moneyOf(price.currency, price.cachedNanosPerMillion),
    outputPricePerMillion: moneyOf(price.currency, price.outputNanosPerMillion),
    limits: { ...entry.limits },
    publishedAt: timestampFromDate(entry.publishedAt),
    available,
    priceVersionId: price.versionId,
  });
}

function nanosOf(money: Money | undefined): bigint {
  return money === undefined ? 0n : money.units * NANOS_PER_UNIT + BigInt(money.nanos);
}

function moneyOf(currencyCode: string, nanos: bigint): Money {
  return create(MoneySchema, {
    currencyCode,
    units: nanos / NANOS_PER_UNIT,
    nanos: Number(nanos % NANOS_PER_UNIT),
  });
}
