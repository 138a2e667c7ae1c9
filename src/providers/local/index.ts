/** Engines as child processes of this machine. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { Driver, RegionOffer } from "../driver.ts";
import { apply } from "./apply.ts";
import { listParts, trimBuckets } from "./bucket-files.ts";
import { freeGpus } from "./gpus.ts";
import { list } from "./list.ts";
import { logs } from "./logs.ts";
import { machine } from "./machine.ts";
import { observe } from "./observe.ts";
import type { LocalDriverOptions } from "./options.ts";
import { findProgram } from "./program.ts";
import { remove } from "./remove.ts";
import { newState, stopJobs } from "./state.ts";

export type { LocalDriverOptions, WeightsStore } from "./options.ts";
export type { EngineProgram } from "./program.ts";

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
    offers: (ctx) => offers(ctx, options),
    apply: (ctx, spec) => apply(ctx, state, spec),
    observe: (ctx, names) => observe(ctx, state, names),
    remove: (ctx, name, how) => remove(ctx, state, name, how),
    list: (ctx, installationId) => list(ctx, state, installationId),
    logs: (ctx: BaseCtx, name, how) => logs(ctx, state, name, how),
    storage: {
      list: () => listParts(options.home),
      trim: (ctx, rules) => trimBuckets(ctx, options.home, rules),
    },
    async close() {
      await Promise.all([stopJobs(state.starts), stopJobs(state.removals)]);
    },
  };
}

/** llama.cpp is part of this program; the others are there when their program is. */
async function enginesHere(options: LocalDriverOptions): Promise<readonly string[]> {
  const installed: string[] = [];
  for (const [name, { words }] of Object.entries(options.programs ?? {})) {
    if (await findProgram(words)) installed.push(name);
  }
  return ["llama.cpp", ...installed];
}

/** CPU replicas, and of each type of GPU what is free, in every region that this machine is. */
async function offers(ctx: BaseCtx, options: LocalDriverOptions): Promise<readonly RegionOffer[]> {
  const engines = await enginesHere(options);
  const { cpuCount, memoryBytes } = machine();
  const onCpus = { gpuType: "UNSPECIFIED" as const, gpuCountMax: 0, gpuMemoryBytes: 0 };
  // llama.cpp runs on CPUs here, so without another engine nothing could use a GPU.
  const kinds = [onCpus, ...(engines.length > 1 ? await freeGpus(ctx, options) : [])];
  const places = options.regions.flatMap((region) => kinds.map((kind) => ({ region, kind })));
  return places.map(({ region, kind }) => ({
    region,
    reach: "direct",
    ...kind,
    cpuMemoryBytes: Math.min(memoryBytes, options.cpuMemoryBytes),
    cpuCount,
    nodeIds: [],
    engines,
  }));
}
