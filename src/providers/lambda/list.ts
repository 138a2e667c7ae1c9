import type { BaseCtx } from "../../base/ctx.ts";
import type { ProviderMachine } from "../driver.ts";
import { installationPrefix } from "../replica-name.ts";
import type { DriverState } from "./state.ts";

/** Every instance under a name of the installation, each replica once. Of other names nothing is known, and nothing is touched. */
export async function list(
  ctx: BaseCtx,
  state: DriverState,
  installationId: string,
): Promise<readonly ProviderMachine[]> {
  const prefix = installationPrefix(installationId);
  const { all } = await state.look(ctx, 0);
  const byName = Map.groupBy(
    all.filter((one) => one.replica.startsWith(prefix)),
    (one) => one.replica,
  );
  return [...byName].map(([name, parts]) => {
    const times = parts.map((one) => one.launchedAt.getTime());
    return { name, installationId, createdAt: new Date(Math.min(...times)) };
  });
}
