/** Lambda's instance types as what a replica can be placed on. */
import type { GpuType } from "../../engines/engine.ts";
import type { InstanceType } from "./seen.ts";

const MIB = 2 ** 20;
const GB = 10 ** 9;

/**
 * What a GPU has, by what Lambda calls it (`gpu_description`: "H100 (80 GB SXM5)"). Memory is what NVIDIA's driver tells of it, which is
 * less than the name says. Types that the wire has no name for (GH200, A10, V100 …) are not offered.
 */
const GPUS: readonly { readonly type: GpuType; readonly gb: number; readonly mib: number }[] = [
  { type: "A100", gb: 40, mib: 40_960 },
  { type: "A100", gb: 80, mib: 81_920 },
  { type: "H100", gb: 80, mib: 81_559 },
  { type: "H200", gb: 141, mib: 143_771 },
  { type: "B200", gb: 180, mib: 183_359 },
];

export interface LambdaHardware {
  /** Lambda's name: `gpu_8x_h100_sxm5`. */
  readonly instanceType: string;
  readonly gpuType: GpuType;
  readonly gpuCount: number;
  readonly gpuMemoryBytes: number;
  readonly cpuCount: number;
  readonly cpuMemoryBytes: number;
  /** Of the whole machine, in US cents. */
  readonly centsPerHour: number;
  /** Where there is room now; a hint. */
  readonly regions: readonly string[];
}

const DESCRIPTION = /^(?<name>[A-Z]+\d+)\b.*?\((?<gb>\d+) ?GB/;

/** Undefined for what no replica of ours runs on. */
export function hardwareOf({ instance_type: type, ...item }: InstanceType): LambdaHardware | undefined {
  const told = DESCRIPTION.exec(type.gpu_description)?.groups;
  const gb = Number(told?.gb);
  const same = GPUS.filter((one) => one.type === told?.name);
  const [first] = same;
  if (!first || type.specs.gpus < 1) return undefined;
  const known = same.find((one) => one.gb === gb);
  return {
    instanceType: type.name,
    gpuType: first.type,
    gpuCount: type.specs.gpus,
    gpuMemoryBytes: known ? known.mib * MIB : gb * GB,
    cpuCount: type.specs.vcpus,
    cpuMemoryBytes: type.specs.memory_gib * 2 ** 30,
    centsPerHour: type.price_cents_per_hour,
    regions: item.regions_with_capacity_available.map((one) => one.name),
  };
}
