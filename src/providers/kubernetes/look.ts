/** Everything that the cluster has of some replicas: a full list each time, never what a watch remembered. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName } from "../driver.ts";
import type { KubeApi, ListOf } from "./api.ts";
import type { Sight } from "./judge.ts";
import { LABELS } from "./labels.ts";
import { LWS_GROUP } from "./manifests.ts";
import { type Meta, metaSchema, type Pod, podSchema, type Workload, workloadSchema } from "./seen.ts";

export const SECRETS: ListOf<Meta> = { group: "", resource: "secrets", schema: metaSchema, metaOnly: true };
export const SERVICES: ListOf<Meta> = { group: "", resource: "services", schema: metaSchema, metaOnly: true };
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
  const [secrets, running, pods] = await Promise.all([
    api.list(ctx, { ...SECRETS, selector }),
    workloads(ctx, api, selector),
    api.list(ctx, { ...PODS, selector }),
  ]);
  const podsOf = Map.groupBy(pods, (pod) => pod.metadata.labels[LABELS.replica] ?? "");
  return (name) => ({
    region: api.region,
    secret: secrets.find((one) => one.metadata.name === name),
    workload: running.find((one) => one.metadata.name === name),
    pods: podsOf.get(name) ?? [],
  });
}
