import type { BaseCtx } from "../../base/ctx.ts";
import type { RegionOffer } from "../driver.ts";
import type { Available } from "./market.ts";
import type { NebiusState } from "./state.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** One offer for each GPU type with its quota, and what the cluster's own nodes offer without GPUs. */
export async function offers(ctx: BaseCtx, state: NebiusState): Promise<readonly RegionOffer[]> {
  const { kube, options, market } = state;
  const own = options.kubernetes.cpu ? await kube.offers(ctx) : [];
  const found = (await market(ctx)).filter(({ sizes }) => sizes.length > 0);
  return [
    ...found.map((one) => offer(state, one)),
    ...own.filter(({ gpuType }) => gpuType === "UNSPECIFIED"),
  ];
}

function offer({ options }: NebiusState, { kind, sizes, quota }: Available): RegionOffer {
  const largest = sizes.at(-1);
  return {
    region: options.region,
    reach: options.kubernetes.reach,
    gpuType: kind.gpuType,
    gpuCountMax: largest?.gpuCount ?? 0,
    gpuCounts: sizes.map((size) => size.gpuCount),
    ...(quota ? { gpuQuota: quota } : {}),
    gpuMemoryBytes: kind.gpuMemoryMib * MIB,
    cpuMemoryBytes: (largest?.memoryGib ?? 0) * GIB,
    cpuCount: largest?.cpuCount ?? 1,
    // Machines are made for each replica: none can be named before.
    nodeIds: [],
    engines: Object.keys(options.kubernetes.engines),
  };
}
