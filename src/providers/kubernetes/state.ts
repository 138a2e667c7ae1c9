import { noSteps, type Steps } from "../../base/steps.ts";
import type { KubeApi } from "./api.ts";
import { forgetful, type Mirrors, mirrors } from "./look.ts";
import type { KubernetesDriverOptions } from "./options.ts";

/** What a driver is made of. What it keeps of replicas is the cluster's own word, and young: any worker sees the same. */
export interface DriverState {
  readonly options: KubernetesDriverOptions;
  readonly api: KubeApi;
  readonly mirrors: Mirrors;
  readonly steps: Steps;
}

export function stateOf(options: KubernetesDriverOptions, plain: KubeApi): DriverState {
  const kept = mirrors(plain);
  const api = forgetful(plain, kept.forget);
  return { options, api, mirrors: kept, steps: options.steps ?? noSteps };
}
