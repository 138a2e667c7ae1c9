import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { BaseCtx } from "../../base/ctx.ts";
import type { ProviderMachine } from "../driver.ts";
import { installationPrefix } from "../replica-name.ts";
import { exists, fileIn, folderOf, isReplicaName, type ReplicaFolder, readJson, specFile } from "./folder.ts";
import { pushRemoval } from "./remove.ts";
import type { DriverState } from "./state.ts";

/** Every replica folder of this installation, whatever state it is in; those being removed are pushed on. */
export async function list(
  ctx: BaseCtx,
  state: DriverState,
  installationId: string,
): Promise<readonly ProviderMachine[]> {
  const { home } = state.options;
  const prefix = installationPrefix(installationId);
  const names = await readdir(join(home, "replicas")).catch(() => []);
  const found: ProviderMachine[] = [];
  for (const name of names.filter((one) => isReplicaName(one) && one.startsWith(prefix))) {
    const folder = folderOf(home, name);
    const isGoing = await exists(fileIn(folder, "removing.json"));
    if (isGoing && (await pushRemoval(ctx, state, folder)) === "gone") continue;
    const createdAt = await createdAtOf(folder);
    if (createdAt) found.push({ name, installationId, createdAt });
  }
  return found;
}

/** A worker may have died between making the folder and writing into it. */
async function createdAtOf(folder: ReplicaFolder): Promise<Date | undefined> {
  const spec = await readJson(folder, "spec.json", specFile);
  if (spec) return new Date(spec.createdAt);
  return (await stat(folder.path).catch(() => undefined))?.mtime;
}
