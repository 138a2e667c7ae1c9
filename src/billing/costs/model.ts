/** What the operator pays for machines, and what is left of what users paid for them. */
import type { GpuType } from "../../engines/engine.ts";
import type { Provider } from "../pricing/index.ts";

/** A version of what an hour of one GPU, or of one replica on CPUs, costs the operator. */
export interface ProviderCost {
  readonly costId: string;
  readonly provider: Provider;
  /** "" = every region of the provider that has no cost of its own. */
  readonly region: string;
  readonly gpuType: GpuType;
  readonly currency: string;
  readonly nanosPerHour: bigint;
  /** Where it is from: a contract, an invoice. */
  readonly note: string;
  /** May lie in the past: it moves no money. */
  readonly validFrom: Date;
  readonly createdAt: Date;
}

/** One place's charged time in a span. */
export interface MarginRow {
  readonly provider: Provider;
  readonly region: string;
  readonly gpuType: GpuType;
  readonly windows: bigint;
  /** Time of all GPUs (or replicas on CPUs) that was charged. */
  readonly gpuMs: bigint;
  /** What users paid. */
  readonly revenueNanos: bigint;
  /** What the operator paid for the same time, as far as it is known. */
  readonly costNanos: bigint;
  /** Of gpuMs, the time for which no cost in this currency is known; it counts as free. */
  readonly uncostedMs: bigint;
}
