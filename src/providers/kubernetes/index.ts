/** Engines as pods of a Kubernetes cluster. One driver is one region: one cluster, one namespace. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { Driver, ReplicaName } from "../driver.ts";
import { kubeApi } from "./api.ts";
import { apply } from "./apply.ts";
import { checkRegion, type RegionFinding } from "./check.ts";
import { kubeClient } from "./client.ts";
import { credentialsOf } from "./credentials.ts";
import { list } from "./list.ts";
import { logs } from "./logs.ts";
import { observe } from "./observe.ts";
import { offers } from "./offers.ts";
import type { KubernetesDriverOptions } from "./options.ts";
import { remove } from "./remove.ts";
import { nodesAsked, type Standing, standing } from "./standing.ts";
import { stateOf } from "./state.ts";

export type { RegionFinding } from "./check.ts";
export type { Credentials } from "./credentials.ts";
export type { ContainerEngine, KubernetesDriverOptions } from "./options.ts";
export { rbac } from "./rbac.ts";
export type { Standing } from "./standing.ts";

export interface KubernetesDriver extends Driver {
  /** What an operator must know of the region: whether it answers, allows what is needed, and has what it was said to have. */
  check(ctx: BaseCtx): Promise<readonly RegionFinding[]>;
  /** Whether the cluster has a replica and its nodes were asked for, for who makes them. */
  standing(ctx: BaseCtx, name: ReplicaName): Promise<Standing>;
  nodesAsked(ctx: BaseCtx, name: ReplicaName): Promise<void>;
  close(): Promise<void>;
}

export function kubernetesDriver(options: KubernetesDriverOptions): KubernetesDriver {
  const { provider, region, config } = options;
  const client = kubeClient(region, options.credentials ?? (() => credentialsOf(config)));
  const state = stateOf(options, kubeApi(client, region, config.namespace));
  return {
    provider,
    name: `kubernetes/${provider.toLowerCase()}/${region}`,
    regions: [region],
    // The API server keeps names unique, and a Deployment of one name keeps one pod.
    createIsIdempotent: true,
    offers: (ctx) => offers(ctx, state),
    apply: (ctx, spec) => apply(ctx, state, spec),
    observe: (ctx, names) => observe(ctx, state, names),
    remove: (ctx, name, how) => remove(ctx, state, name, how),
    list: (ctx, installationId) => list(ctx, state, installationId),
    logs: (ctx, name, how) => logs(ctx, state, name, how),
    check: (ctx) => checkRegion(ctx, state),
    standing: (ctx, name) => standing(ctx, state, name),
    nodesAsked: (ctx, name) => nodesAsked(ctx, state, name),
    async close() {
      state.mirrors.close();
      await client.close();
    },
  };
}
