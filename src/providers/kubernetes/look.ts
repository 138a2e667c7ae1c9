/** Everything that the cluster has of some replicas: by full lists, or by what watches keep of it. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName } from "../driver.ts";
import type { KubeApi, ListOf } from "./api.ts";
import type { Sight } from "./judge.ts";
import { LABELS, MANAGED } from "./labels.ts";
import { LWS_GROUP } from "./manifests.ts";
import { type Mirror, mirror } from "./mirror.ts";
import { type Meta, metaSchema, type Pod, podSchema, type Workload, workloadSchema } from "./seen.ts";

export const SECRETS: ListOf<Meta> = { group: "", resource: "secrets", schema: metaSchema, metaOnly: true };
export const PODS: ListOf<Pod> = { group: "", resource: "pods", schema: podSchema };
export const DEPLOYMENTS: ListOf<Workload> = {
  group: "apps",
  resource: "deployments",
  schema: workloadSchema,
};
const GROUPS: ListOf<Workload> = { group: LWS_GROUP, resource: "leaderworkersets", schema: workloadSchema };

/** Deployments, and groups of nodes where the cluster has them. */
export async function workloads(ctx: BaseCtx, api: KubeApi, selector: string): Promise<readonly Workload[]> {
  const groups = (await api.has(ctx, LWS_GROUP)) ? await api.list(ctx, { ...GROUPS, selector }) : [];
  return [...(await api.list(ctx, { ...DEPLOYMENTS, selector })), ...groups];
}

export async function look(
  ctx: BaseCtx,
  api: KubeApi,
  selector: string,
): Promise<(name: ReplicaName) => Sight> {
  const at = ctx.clock.now();
  const [secrets, running, pods] = await Promise.all([
    api.list(ctx, { ...SECRETS, selector }),
    workloads(ctx, api, selector),
    api.list(ctx, { ...PODS, selector }),
  ]);
  return sightOf(api.region, at, secrets, running, pods);
}

function sightOf(
  region: string,
  at: Date,
  secrets: readonly Meta[],
  running: readonly Workload[],
  pods: readonly Pod[],
): (name: ReplicaName) => Sight {
  const secretOf = new Map(secrets.map((one) => [one.metadata.name, one]));
  const workloadOf = new Map(running.map((one) => [one.metadata.name, one]));
  const podsOf = Map.groupBy(pods, (pod) => pod.metadata.labels[LABELS.replica] ?? "");
  return (name) => ({
    region,
    at,
    secret: secretOf.get(name),
    workload: workloadOf.get(name),
    pods: podsOf.get(name) ?? [],
  });
}

export interface Glance {
  /** It was so then, or later. */
  readonly at: Date;
  readonly sight: (name: ReplicaName) => Sight;
}

/** All replicas of the namespace, as watches keep them. Says what is there; that something is not there is for a full list to say. */
export interface Mirrors {
  glance(ctx: BaseCtx): Promise<Glance>;
  /** After a write of our own. */
  forget(): void;
  close(): void;
}

export function mirrors(api: KubeApi): Mirrors {
  const of = <T extends Meta>(what: ListOf<T>): Mirror<T> => mirror(api, { ...what, selector: MANAGED });
  const secrets = of(SECRETS);
  const deployments = of(DEPLOYMENTS);
  const groups = of(GROUPS);
  const pods = of(PODS);
  const all = [secrets, deployments, groups, pods];
  return {
    async glance(ctx) {
      const [some, running, grouped, inPods] = await Promise.all([
        secrets.all(ctx),
        deployments.all(ctx),
        api.has(ctx, LWS_GROUP).then((has) => (has ? groups.all(ctx) : undefined)),
        pods.all(ctx),
      ]);
      const times = [some, running, inPods, ...(grouped ? [grouped] : [])].map(({ at }) => at.getTime());
      const workloads = [...running.items, ...(grouped?.items ?? [])];
      const at = new Date(Math.min(...times));
      return { at, sight: sightOf(api.region, at, some.items, workloads, inPods.items) };
    },
    forget() {
      for (const one of all) one.forget();
    },
    close() {
      for (const one of all) one.close();
    },
  };
}

/** The same API, after whose writes what watches keep is forgotten: who has written sees it. */
export function forgetful(api: KubeApi, forget: () => void): KubeApi {
  return {
    ...api,
    apply: (...args) => api.apply(...args).finally(forget),
    annotate: (...args) => api.annotate(...args).finally(forget),
    remove: (...args) => api.remove(...args).finally(forget),
  };
}
