/** Instance types in the form of the API; sizes and prices are those of spring 2026. */
export interface FakeType {
  readonly name: string;
  readonly description: string;
  readonly gpu_description: string;
  readonly price_cents_per_hour: number;
  readonly specs: {
    readonly vcpus: number;
    readonly memory_gib: number;
    readonly storage_gib: number;
    readonly gpus: number;
  };
}

const type = (name: string, gpus: number, gpu: string, cents: number): [string, FakeType] => [
  name,
  {
    name,
    description: `${gpus}x ${gpu}`,
    gpu_description: gpu,
    price_cents_per_hour: cents,
    specs: { vcpus: 26 * gpus, memory_gib: 225 * gpus, storage_gib: 2_816 * gpus, gpus },
  },
];

export const TYPES: Readonly<Record<string, FakeType>> = Object.fromEntries([
  type("gpu_1x_a100_sxm4", 1, "A100 (40 GB SXM4)", 199),
  type("gpu_8x_a100_80gb_sxm4", 8, "A100 (80 GB SXM4)", 2_232),
  type("gpu_1x_h100_pcie", 1, "H100 (80 GB PCIe)", 329),
  type("gpu_1x_h100_sxm5", 1, "H100 (80 GB SXM5)", 429),
  type("gpu_8x_h100_sxm5", 8, "H100 (80 GB SXM5)", 3_192),
  type("gpu_1x_gh200", 1, "GH200 (96 GB)", 229),
  type("gpu_1x_b200_sxm6", 1, "B200 (180 GB SXM6)", 699),
]);
