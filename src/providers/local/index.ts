/** Engines as child processes of this machine. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { Driver, RegionOffer } from "../driver.ts";
import { apply } from "./apply.ts";
import { list } from "./list.ts";
import { logs } from "./logs.ts";
import { machine } from "./machine.ts";
import { observe } from "./observe.ts";
import type { LocalDriverOptions } from "./options.ts";
import { remove } from "./remove.ts";
import { newState, stopJobs } from "./state.ts";

export type { LocalDriverOptions, WeightsStore } from "./options.ts";

export interface LocalDriver extends Driver {
  /** Stops this worker's own work on replicas; engines go on, and another worker takes up what is half-done. */
  close(): Promise<void>;
}

export function localDriver(options: LocalDriverOptions): LocalDriver {
  const state = newState(options);
  return {
    provider: "ONPREM",
    name: "local",
    // A replica's folder and the claim in it are made by one process only, however many try.
    createIsIdempotent: true,
    offers: async () => offers(options),
    apply: (ctx, spec) => apply(ctx, state, spec),
    observe: (ctx, names) => observe(ctx, state, names),
    remove: (ctx, name, how) => remove(ctx, state, name, how),
    list: (ctx, installationId) => list(ctx, state, installationId),
    logs: (ctx: BaseCtx, name, how) => logs(ctx, state, name, how),
    async close() {
      await Promise.all([stopJobs(state.starts), stopJobs(state.removals)]);
    },
  };
}

/** CPU replicas in every region that this machine is. */
function offers(options: LocalDriverOptions): readonly RegionOffer[] {
  const { cpuCount, memoryBytes } = machine();
  return options.regions.map((region) => ({
    region,
    reach: "direct",
    gpuType: "UNSPECIFIED",
    gpuCountMax: 0,
    gpuMemoryBytes: 0,
    cpuMemoryBytes: Math.min(memoryBytes, options.cpuMemoryBytes),
    cpuCount,
    nodeIds: [],
  }));
}
