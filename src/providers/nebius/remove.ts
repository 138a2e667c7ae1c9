import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName } from "../driver.ts";
import type { NebiusState } from "./state.ts";

/** The engine first, in its grace; its nodes when it is gone, which whoever looks next sees to. Without grace both at once. */
export async function remove(
  ctx: BaseCtx,
  { api, kube, steps }: NebiusState,
  name: ReplicaName,
  how: { readonly graceMs: number },
): Promise<void> {
  await kube.remove(ctx, name, how);
  if (how.graceMs > 0 && (await kube.standing(ctx, name)).is !== "absent") return;
  const group = await api.group(ctx, name);
  if (!group || group.going) return;
  await api.remove(ctx, group);
  steps.reach("nebius.removing");
}
