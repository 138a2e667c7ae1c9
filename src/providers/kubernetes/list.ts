import type { BaseCtx } from "../../base/ctx.ts";
import type { ProviderMachine } from "../driver.ts";
import { LABELS, ofInstallation } from "./labels.ts";
import { PODS, SECRETS, workloads } from "./look.ts";
import type { Meta } from "./seen.ts";
import type { DriverState } from "./state.ts";

/**
 * Every replica of the installation of which anything is left that runs or could: a workload, a pod, or a Secret without one. What
 * else a Secret owned is no machine, and the cluster collects it in its own time.
 */
export async function list(
  ctx: BaseCtx,
  { api }: DriverState,
  installationId: string,
): Promise<readonly ProviderMachine[]> {
  const selector = ofInstallation(installationId);
  const found: readonly (readonly Meta[])[] = await Promise.all([
    api.list(ctx, { ...SECRETS, selector }),
    workloads(ctx, api, selector),
    api.list(ctx, { ...PODS, selector }),
  ]);
  const byName = Map.groupBy(found.flat(), (one) => one.metadata.labels[LABELS.replica] ?? "");
  return [...byName]
    .filter(([name]) => name !== "")
    .map(([name, parts]) => {
      const times = parts.map((one) => one.metadata.creationTimestamp.getTime());
      return { name, installationId, createdAt: new Date(Math.min(...times)) };
    });
}
