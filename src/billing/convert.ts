/** Where the wire's words for money, times, providers and GPUs meet ours. */
import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { MoneySchema, type Money as WireMoney } from "../../gen/google/type/money_pb.js";
import { CloudProvider } from "../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { GPUType } from "../../gen/tensormesh/common/v1/gpu_type_pb.js";
import { type Money, NANOS_PER_UNIT } from "../base/money.ts";
import type { GpuType } from "../engines/engine.ts";
import type { Provider } from "./pricing/index.ts";

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
