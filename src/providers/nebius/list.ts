import type { BaseCtx } from "../../base/ctx.ts";
import type { ProviderMachine } from "../driver.ts";
import { GROUP_LABELS, MANAGER } from "./node-group.ts";
import type { NebiusState } from "./state.ts";

/** Every replica of the installation of which the cluster or the cloud has anything. */
export async function list(
  ctx: BaseCtx,
  { api, kube }: NebiusState,
  installationId: string,
): Promise<readonly ProviderMachine[]> {
  const [replicas, groups] = await Promise.all([kube.list(ctx, installationId), api.groups(ctx)]);
  const ours = groups
    .filter(({ labels }) => labels[GROUP_LABELS.managedBy] === MANAGER)
    .filter(({ labels }) => labels[GROUP_LABELS.installation] === installationId)
    .map(({ name, createdAt }) => ({ name, installationId, createdAt }));
  const byName = new Map<string, ProviderMachine>();
  for (const one of [...ours, ...replicas]) {
    const before = byName.get(one.name);
    if (!before || one.createdAt < before.createdAt) byName.set(one.name, one);
  }
  return [...byName.values()];
}
