/** A doomed worker over a region. */
import { stepsFrom } from "../../../src/main/kill-steps.ts";
import type { KubernetesConfig } from "../../../src/providers/kubernetes/config.ts";
import { carryOut, readOrder } from "../doomed-worker.ts";
import { regionDriver } from "./region.ts";

export interface OfRegion {
  readonly config: KubernetesConfig;
}

const order = await readOrder<OfRegion>();
await carryOut(regionDriver(order.config, stepsFrom(order.killAt)), order);
