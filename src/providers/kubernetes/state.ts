import { noSteps, type Steps } from "../../base/steps.ts";
import type { KubeApi } from "./api.ts";
import type { KubernetesDriverOptions } from "./options.ts";

/** What a driver is made of. It keeps nothing of replicas: any worker sees the same cluster. */
export interface DriverState {
  readonly options: KubernetesDriverOptions;
  readonly api: KubeApi;
  readonly steps: Steps;
}

export function stateOf(options: KubernetesDriverOptions, api: KubeApi): DriverState {
  return { options, api, steps: options.steps ?? noSteps };
}
