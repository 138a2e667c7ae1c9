import type { DbCtx } from "../db/db.ts";
import type { ModelsDeps } from "./ports.ts";
import type { Verdict } from "./preflight.ts";

/**
 * A sentence where the owner has external storage that the model would use, and the chosen place can keep nothing in it; else "". Only
 * a warning: the model serves as well there, and evaluates anew what it would have found.
 */
export async function storageWarning(
  ctx: DbCtx,
  deps: Pick<ModelsDeps, "drivers" | "storage">,
  { best, deploy }: Pick<Verdict, "best" | "deploy">,
): Promise<string> {
  if (!best || !deploy.kvCacheEnabled || !deps.storage) return "";
  const { provider, region, driver: name } = best.place;
  const driver = deps.drivers.find((one) => one.name === name);
  if (!driver || driver.storage) return "";
  // Of a model that does not exist yet: none that its owner has detached.
  const part = await deps.storage.partOf(ctx, { userId: deploy.ownerId, modelId: ctx.random.uuid() });
  if (!part) return "";
  return `${provider}/${region} keeps nothing in your external storage: what is evaluated there is lost when a replica goes. A place with a disk for it keeps it, such as the control plane's own machine.`;
}
