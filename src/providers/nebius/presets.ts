/**
 * What Nebius calls its regions, machines and sizes. No A100 anywhere. Operators may name others in `nebius.gpus`; `slipway doctor`
 * compares with what the project really has. Sources: the solution library of Nebius (github.com/nebius/nebius-solution-library,
 * soperator/modules/available_resources: region.tf, platform.tf, preset.tf) and the catalogue of SkyPilot (catalogs/v7/nebius), 2026.
 */
import { StatusError } from "../../base/status.ts";
import type { GpuType } from "../../engines/engine.ts";
import { NEBIUS_GPUS, type NebiusConfig, type NebiusGpu, nebiusSchema, PRESET } from "./config.ts";

export type NebiusGpuType = (typeof NEBIUS_GPUS)[number];

/** Region → GPU types that it has. A region of the contract without GPUs that we know is here with none. */
export const REGIONS: Readonly<Record<string, readonly NebiusGpuType[]>> = {
  "eu-north1": ["H100", "H200"],
  "eu-north2": ["H200"],
  "eu-west1": ["H200"],
  "eu-west2": [],
  "me-west1": ["B200"],
  "uk-south1": [],
  "us-central1": ["H200", "B200"],
  "us-north1": [],
};

interface Machine {
  readonly platform: string;
  readonly presets: readonly string[];
  /** Of one GPU, as nvidia-smi tells it. */
  readonly gpuMemoryMib: number;
}

const SIXTEEN = ["1gpu-16vcpu-200gb", "8gpu-128vcpu-1600gb"];

const MACHINES: Readonly<Record<NebiusGpuType, Machine>> = {
  H100: { platform: "gpu-h100-sxm", presets: SIXTEEN, gpuMemoryMib: 81_559 },
  H200: { platform: "gpu-h200-sxm", presets: SIXTEEN, gpuMemoryMib: 143_771 },
  B200: {
    platform: "gpu-b200-sxm",
    presets: ["1gpu-20vcpu-224gb", "8gpu-160vcpu-1792gb"],
    gpuMemoryMib: 183_359,
  },
};

/** In this region the B200 platform has another name. */
const PLATFORM_IN: Readonly<Record<string, Partial<Record<NebiusGpuType, string>>>> = {
  "me-west1": { B200: "gpu-b200-sxm-a" },
};

export interface Size {
  readonly preset: string;
  readonly gpuCount: number;
  readonly cpuCount: number;
  readonly memoryGib: number;
}

/** One GPU type of a region, with everything that a node group needs. */
export interface Kind extends Omit<NebiusGpu, "platform" | "presets"> {
  readonly gpuType: NebiusGpuType;
  readonly platform: string;
  readonly gpuMemoryMib: number;
  /** Smallest first. */
  readonly sizes: readonly Size[];
}

/** The GPU types of a region: those that the operator names, else those of the table. */
export function kindsOf(region: string, config: NebiusConfig): readonly Kind[] {
  const named = config.gpus;
  const types = named ? NEBIUS_GPUS.filter((type) => named[type]) : (REGIONS[region] ?? []);
  return types.map((gpuType) => kindOf(region, gpuType, named?.[gpuType]));
}

function kindOf(region: string, gpuType: NebiusGpuType, said: NebiusGpu | undefined): Kind {
  const { platform, presets, gpuMemoryMib } = MACHINES[gpuType];
  const given = said ?? DEFAULTS;
  return {
    ...given,
    gpuType,
    gpuMemoryMib,
    platform: given.platform ?? PLATFORM_IN[region]?.[gpuType] ?? platform,
    sizes: (given.presets ?? presets).map(sizeOf).toSorted((a, b) => a.gpuCount - b.gpuCount),
  };
}

const DEFAULTS: NebiusGpu = nebiusSchema.shape.gpus.unwrap().valueType.parse({});

function sizeOf(preset: string): Size {
  const [, gpus, cpus, gb] = PRESET.exec(preset) ?? [];
  return { preset, gpuCount: Number(gpus), cpuCount: Number(cpus), memoryGib: Number(gb) };
}

/** The kind and size for a replica's node. Throws GPU_TYPE_UNAVAILABLE or GPU_COUNT_INVALID, naming what there is. */
export function sizeFor(
  region: string,
  kinds: readonly Kind[],
  gpuType: GpuType,
  gpuCount: number,
): { readonly kind: Kind; readonly size: Size } {
  const kind = kinds.find((one) => one.gpuType === gpuType);
  if (!kind) {
    const known = kinds.map((one) => one.gpuType).join(", ") || "none";
    throw refused(
      "GPU_TYPE_UNAVAILABLE",
      `Region ${region} has no GPUs of type ${gpuType}. It has ${known}.`,
    );
  }
  const size = kind.sizes.find((one) => one.gpuCount === gpuCount);
  if (size) return { kind, size };
  const known = kind.sizes.map((one) => one.gpuCount).join(" or ");
  throw refused(
    "GPU_COUNT_INVALID",
    `Machines of region ${region} have ${known} ${gpuType} GPUs; ${gpuCount} were asked for.`,
  );
}

function refused(reason: "GPU_TYPE_UNAVAILABLE" | "GPU_COUNT_INVALID", message: string): StatusError {
  return new StatusError({ code: "FAILED_PRECONDITION", reason, message });
}
