import type { Steps } from "../../base/steps.ts";
import type { Engine, LogEvent } from "../../engines/engine.ts";
import type { Driver } from "../driver.ts";
import type { KubernetesConfig } from "./config.ts";

export interface KubernetesDriverOptions {
  readonly provider: Driver["provider"];
  readonly region: string;
  readonly config: KubernetesConfig;
  /** Of engines that are programs of their own, by name: how they are called, and what their logs say. */
  readonly engines: Readonly<Record<string, ContainerEngine>>;
  /** Longest wait for running streams when a replica goes. */
  readonly drainMaxSeconds: number;
  readonly hubEndpoint: string;
  readonly steps?: Steps;
}

export interface ContainerEngine {
  readonly engine: Engine;
  /** The failure that a whole log tells. */
  failureOf(lines: readonly string[]): (LogEvent & { kind: "failure" }) | undefined;
}
