import type { BaseCtx } from "../../base/ctx.ts";
import type { RegionOffer } from "../driver.ts";
import type { LambdaApi } from "./api.ts";
import { hardwareOf, type LambdaHardware } from "./hardware.ts";
import type { DriverState } from "./state.ts";

/** One offer for each region, type of GPU and its memory. Lambda does not tell where it has a type at all, only where one is free. */
export async function offers(ctx: BaseCtx, state: DriverState): Promise<readonly RegionOffer[]> {
  const hardware = await hardwareSoon(ctx, state);
  const kinds = Map.groupBy(hardware, (one) => `${one.gpuType}/${one.gpuMemoryBytes}`);
  return state.options.config.regions.flatMap((region) =>
    [...kinds.values()].map((types) => offerOf(region, types)),
  );
}

/** Every type that Lambda rents out and a replica can run on. */
export async function hardwareNow(ctx: BaseCtx, api: LambdaApi): Promise<readonly LambdaHardware[]> {
  return (await api.instanceTypes(ctx)).map(hardwareOf).filter((one) => one !== undefined);
}

/** The same of a moment ago: many ask, and Lambda takes one request a second. What is free is a hint either way. */
export async function hardwareSoon(ctx: BaseCtx, state: DriverState): Promise<readonly LambdaHardware[]> {
  const now = ctx.clock.monotonicMs();
  const { hardware } = state.known;
  if (hardware && now - hardware.atMs <= state.times.hardwareAgeMs) return hardware.answer;
  const { signal: _mine, ...shared } = ctx;
  const answer = hardwareNow(shared, state.api);
  state.known.hardware = { atMs: now, answer };
  answer.catch(() => {
    if (state.known.hardware?.answer === answer) delete state.known.hardware;
  });
  return answer;
}

function offerOf(region: string, types: readonly LambdaHardware[]): RegionOffer {
  const [first] = types;
  const here = types.filter((one) => one.regions.includes(region));
  // A machine that a replica of fewer GPUs gets is smaller in all else, too.
  const least = (of: (one: LambdaHardware) => number) => Math.min(...types.map(of));
  return {
    region,
    reach: "tls",
    gpuType: first?.gpuType ?? "UNSPECIFIED",
    gpuCountMax: Math.max(...types.map((one) => one.gpuCount)),
    gpuCounts: countsOf(types),
    gpuCountsFree: countsOf(here),
    gpuMemoryBytes: first?.gpuMemoryBytes ?? 0,
    cpuMemoryBytes: least((one) => one.cpuMemoryBytes),
    cpuCount: least((one) => one.cpuCount),
    nodeIds: [],
    engines: ["vllm"],
  };
}

function countsOf(types: readonly LambdaHardware[]): readonly number[] {
  return [...new Set(types.map((one) => one.gpuCount))].sort((a, b) => a - b);
}
