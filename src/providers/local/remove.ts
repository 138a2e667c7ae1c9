import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { BaseCtx } from "../../base/ctx.ts";
import { noSteps } from "../../base/steps.ts";
import type { ReplicaName } from "../driver.ts";
import { keepLog } from "./engine-log.ts";
import {
  exists,
  fileIn,
  folderOf,
  isMissing,
  type ReplicaFolder,
  readJson,
  readText,
  removingFile,
  writeInto,
} from "./folder.ts";
import { releaseGpus } from "./gpus.ts";
import { type Claim, isAlive, NEVER, parseClaim, signalProcess } from "./process-table.ts";
import { runDirOf } from "./program.ts";
import { type DriverState, startJob } from "./state.ts";

/**
 * Writes down until when the replica may finish its streams, asks its engine to end, and returns; a job of this process ends it at
 * the deadline. If this worker dies, any other that observes, lists or removes the replica goes on. Removing what is not there,
 * or again, is no error; a shorter grace than before shortens the wait.
 */
export async function remove(
  ctx: BaseCtx,
  state: DriverState,
  name: ReplicaName,
  options: { readonly graceMs: number },
): Promise<void> {
  const folder = folderOf(state.options.home, name);
  if (!(await exists(folder.path))) return;
  state.starts.get(name)?.abort.abort();
  const wantedMs = ctx.clock.now().getTime() + Math.max(0, options.graceMs);
  const before = await readJson(folder, "removing.json", removingFile);
  const killAtMs = before ? Math.min(wantedMs, Date.parse(before.killAt)) : wantedMs;
  await writeInto(folder, "removing.json", JSON.stringify({ killAt: new Date(killAtMs).toISOString() }));
  (state.options.steps ?? noSteps).reach("local.removing");
  await pushRemoval(ctx, state, folder);
}

const PUSH_EVERY_MS = 100;

/** One step of a removal that was written down, and a job for the rest. */
export async function pushRemoval(
  ctx: BaseCtx,
  state: DriverState,
  folder: ReplicaFolder,
): Promise<"gone" | "draining"> {
  if (state.removals.has(folder.name)) return "draining";
  if ((await removalStep(ctx, state, folder)) === "gone") return "gone";
  startJob(state.removals, folder.name, (signal) => pushOn({ ...ctx, signal }, state, folder));
  return "draining";
}

async function pushOn(
  ctx: BaseCtx & { readonly signal: AbortSignal },
  state: DriverState,
  folder: ReplicaFolder,
): Promise<void> {
  try {
    await askToEnd(folder);
    while ((await removalStep(ctx, state, folder)) === "draining") {
      await ctx.clock.sleep(PUSH_EVERY_MS, ctx.signal);
    }
  } catch (error) {
    if (!ctx.signal.aborted) ctx.log.warn({ replica: folder.name, err: error }, "a removal stopped half-way");
  }
}

async function askToEnd(folder: ReplicaFolder): Promise<void> {
  const claim = await readClaim(folder);
  if (claim.kind === "process") await signalProcess(claim.identity, "SIGTERM", { group: false });
}

/** Ends the engine when its time is over, and takes the folder away once nothing runs and nothing can start any more. */
async function removalStep(
  ctx: BaseCtx,
  state: DriverState,
  folder: ReplicaFolder,
): Promise<"gone" | "draining"> {
  const claim = await takeClaim(ctx, folder);
  if (claim.kind === "starting") return "draining";
  if (claim.kind === "process" && (await isAlive(claim.identity))) {
    const removing = await readJson(folder, "removing.json", removingFile);
    if (removing && ctx.clock.now().getTime() >= Date.parse(removing.killAt)) {
      await signalProcess(claim.identity, "SIGKILL", { group: true });
    }
    return "draining";
  }
  await takeAway(ctx, state, folder);
  return "gone";
}

async function readClaim(folder: ReplicaFolder): Promise<Claim> {
  return parseClaim(await readText(fileIn(folder, "engine.pid")));
}

/** A shell that took the claim but did not write within this long is dead. */
const STARTING_MAX_MS = 10_000;

/** The claim as it is; where none was made, takes it so that no engine starts in a folder that goes. */
async function takeClaim(ctx: BaseCtx, folder: ReplicaFolder): Promise<Claim> {
  const path = fileIn(folder, "engine.pid");
  try {
    const handle = await open(path, "wx", 0o600);
    await handle.writeFile(NEVER).finally(() => handle.close());
    return { kind: "never" };
  } catch (error) {
    if (isMissing(error)) return { kind: "never" };
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
  const claim = await readClaim(folder);
  if (claim.kind !== "starting") return claim;
  const found = await stat(path).catch(() => undefined);
  const isDead = found !== undefined && ctx.clock.now().getTime() - found.mtimeMs > STARTING_MAX_MS;
  return isDead ? { kind: "never" } : claim;
}

/** Renames first: from then on nobody sees half a folder, whenever the deleting stops. */
async function takeAway(ctx: BaseCtx, state: DriverState, folder: ReplicaFolder): Promise<void> {
  const { home } = state.options;
  await releaseGpus(home, folder.name);
  await keepLog(home, folder, ctx.clock.now());
  const trash = join(home, "replicas", `.${folder.name}.${ctx.random.uuid()}`);
  try {
    await rename(folder.path, trash);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  await rm(runDirOf(state.options, folder, true), { recursive: true, force: true });
  await emptyTrash(home);
}

async function emptyTrash(home: string): Promise<void> {
  const names = await readdir(join(home, "replicas")).catch(() => []);
  for (const name of names.filter((one) => one.startsWith("."))) {
    await rm(join(home, "replicas", name), { recursive: true, force: true });
  }
}
