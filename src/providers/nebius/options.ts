import type { Steps } from "../../base/steps.ts";
import type { KubernetesConfig } from "../kubernetes/config.ts";
import type { KubernetesDriverOptions } from "../kubernetes/index.ts";
import type { NebiusConfig } from "./config.ts";

export interface NebiusDriverOptions {
  readonly region: string;
  readonly config: NebiusConfig;
  /** How replicas run in the region's cluster; its `gpus` are made of the region's kinds. */
  readonly kubernetes: KubernetesConfig;
  readonly engines: KubernetesDriverOptions["engines"];
  readonly drainMaxSeconds: number;
  readonly hubEndpoint: string;
  readonly steps?: Steps;
}
