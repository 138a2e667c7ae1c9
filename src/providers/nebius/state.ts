import { noSteps, type Steps } from "../../base/steps.ts";
import type { KubernetesDriver } from "../kubernetes/index.ts";
import { type Market, market } from "./market.ts";
import type { NebiusDriverOptions } from "./options.ts";
import { type Kind, kindsOf } from "./presets.ts";
import type { NebiusApi } from "./rpc.ts";

/** What a driver is made of. It keeps nothing of replicas, and quotas for a minute: any worker sees the same cloud and the same cluster. */
export interface NebiusState {
  readonly options: NebiusDriverOptions;
  readonly kinds: readonly Kind[];
  readonly api: NebiusApi;
  readonly kube: KubernetesDriver;
  readonly market: Market;
  readonly steps: Steps;
}

export function stateOf(options: NebiusDriverOptions, api: NebiusApi, kube: KubernetesDriver): NebiusState {
  const kinds = kindsOf(options.region, options.config);
  return { options, kinds, api, kube, market: market(api, kinds), steps: options.steps ?? noSteps };
}
