import type { BaseCtx } from "../../base/ctx.ts";
import type { Steps } from "../../base/steps.ts";
import type { Engine, LogEvent } from "../../engines/engine.ts";
import type { Driver, ReplicaSpec } from "../driver.ts";
import type { KubernetesConfig } from "./config.ts";
import type { Credentials } from "./credentials.ts";

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
  /** Who we are to the cluster; absent: what the configuration says. */
  readonly credentials?: (ctx: BaseCtx) => Promise<Credentials>;
  /** Where nodes are made for each replica: the label of its own, and what keeps others away from them. */
  readonly ownNodes?: (spec: ReplicaSpec) => OwnNodes | undefined;
}

export interface OwnNodes {
  readonly labels: Readonly<Record<string, string>>;
  readonly taint: { readonly key: string; readonly value: string };
}

export interface ContainerEngine {
  readonly engine: Engine;
  /** The failure that a whole log tells. */
  failureOf(lines: readonly string[]): (LogEvent & { kind: "failure" }) | undefined;
}
