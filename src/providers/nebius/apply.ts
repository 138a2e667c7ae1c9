import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaSpec } from "../driver.ts";
import { wishOf } from "./node-group.ts";
import type { NebiusState } from "./state.ts";

/**
 * Makes the replica exist: first in the cluster, where its pod waits, then the nodes that it waits for. So a group without its
 * replica is always one that is going. Groups' names are unique in a cluster, and the call carries a key: twice is once.
 */
export async function apply(ctx: BaseCtx, state: NebiusState, spec: ReplicaSpec): Promise<void> {
  const { options, kinds, api, kube, steps } = state;
  // Replicas on CPUs live on the cluster's own nodes, where the operator lets them.
  if (spec.gpuType === "UNSPECIFIED" || spec.gpuCount === 0) return kube.apply(ctx, spec);
  const wish = wishOf(spec, kinds, options.config, options.drainMaxSeconds);
  // First of all a look, so that a cloud that refuses us is told before anything is made.
  const group = await api.group(ctx, spec.name);
  await kube.apply(ctx, spec);
  const { is, nodesAskedAt } = await kube.standing(ctx, spec.name);
  // Nodes that were promised once and are not there are told by a look: the same promise is not made twice under one name.
  if (is !== "there" || nodesAskedAt) return;
  if (!group) await api.create(ctx, wish);
  steps.reach("nebius.created");
  await kube.nodesAsked(ctx, spec.name);
}
