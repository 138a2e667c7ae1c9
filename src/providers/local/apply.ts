import type { ChildProcess } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import { noSteps } from "../../base/steps.ts";
import type { ReplicaSpec } from "../driver.ts";
import { isRetryable } from "../retryable.ts";
import {
  exists,
  fileIn,
  folderOf,
  isReplicaName,
  makePrivateDir,
  type ReplicaFolder,
  readJson,
  readText,
  type SpecFile,
  specFile,
  writeInto,
} from "./folder.ts";
import { claimGpus } from "./gpus.ts";
import { machine } from "./machine.ts";
import type { LocalDriverOptions } from "./options.ts";
import { isAlive, parseClaim } from "./process-table.ts";
import { recordExit, spawnEngine } from "./spawn-engine.ts";
import { type DriverState, startJob } from "./state.ts";

/**
 * Makes the replica exist: its folder at once, its weights and engine in the background of this process. Repeating it does what is
 * missing and nothing else, in any worker; a replica that failed or is being removed stays so. Throws PLACE_UNKNOWN.
 */
export async function apply(ctx: BaseCtx, state: DriverState, spec: ReplicaSpec): Promise<void> {
  const { options } = state;
  if (!options.regions.includes(spec.region)) throw unknownRegion(spec.region);
  const folder = folderOf(options.home, spec.name);
  await record(ctx, options.home, folder, spec);
  (options.steps ?? noSteps).reach("local.recorded");
  if (await isSettled(folder)) return;
  startJob(state.starts, spec.name, (signal) => bringUp({ ...ctx, signal }, state, folder, spec));
}

/** True when there is nothing left to start: an engine was, the start failed, or the replica is going. */
async function isSettled(folder: ReplicaFolder): Promise<boolean> {
  for (const name of ["engine.pid", "failure.json", "removing.json"] as const) {
    if (await exists(fileIn(folder, name))) return true;
  }
  return false;
}

async function record(ctx: BaseCtx, home: string, folder: ReplicaFolder, spec: ReplicaSpec): Promise<void> {
  await makePrivateDir(join(home, "replicas"));
  await makePrivateDir(folder.path);
  if (!(await exists(fileIn(folder, "engine-key")))) {
    await writeInto(folder, "engine-key", spec.secrets.engineKey);
  }
  if (await exists(fileIn(folder, "spec.json"))) return;
  const file: SpecFile = {
    installationId: spec.key.installationId,
    deploymentId: spec.key.deploymentId,
    region: spec.region,
    servedName: spec.servedName,
    source: spec.weights.source,
    engine: spec.plan.engine,
    memoryBytes: spec.plan.memoryBytes,
    weightsBytes: spec.weights.sizeBytes,
    createdAt: ctx.clock.now().toISOString(),
  };
  await writeInto(folder, "spec.json", JSON.stringify(file));
}

/** Weights, then a place in the queue, then the engine. What fails is recorded, so that observe tells it in any worker. */
async function bringUp(
  ctx: BaseCtx & { readonly signal: AbortSignal },
  state: DriverState,
  folder: ReplicaFolder,
  spec: ReplicaSpec,
): Promise<void> {
  const removed = new AbortController();
  const signal = AbortSignal.any([ctx.signal, removed.signal]);
  try {
    const progress = progressWriter(ctx, folder, () => removed.abort());
    const paths = await state.options.weights.ensure(
      { ...ctx, signal },
      {
        facts: spec.weights,
        hfToken: spec.secrets.hfToken,
        holder: folder.path,
        onProgress: (doneBytes, totalBytes) => progress("downloading weights", doneBytes, totalBytes),
      },
    );
    await inStartQueue(ctx, state, async () => {
      if (await isSettled(folder)) return;
      const gpus = await claimGpus(ctx, state.options, spec);
      const child = await spawnEngine(state.options, folder, spec, paths, gpus);
      (state.options.steps ?? noSteps).reach("local.spawned");
      watch(ctx, state, folder, child);
      await untilClaimed(ctx, folder, () => child.exitCode !== null || child.signalCode !== null);
    });
  } catch (error) {
    if (signal.aborted) return;
    await recordFailure(ctx, folder, error);
  }
}

/** Its end is known from the process itself until it is written down for the other workers. */
function watch(ctx: BaseCtx, state: DriverState, folder: ReplicaFolder, child: ChildProcess): void {
  state.children.set(folder.name, child);
  child.once("exit", () => {
    recordExit(folder, child)
      .catch((error: unknown) =>
        ctx.log.warn({ replica: folder.name, err: error }, "an exit was not recorded"),
      )
      .finally(() => state.children.delete(folder.name));
  });
}

async function recordFailure(ctx: BaseCtx, folder: ReplicaFolder, thrown: unknown): Promise<void> {
  const { reason, message } = StatusError.from(thrown);
  ctx.log.warn({ replica: folder.name, reason, err: thrown }, "a replica could not be started");
  // Another worker's engine is not failed by what went wrong here.
  if (await exists(fileIn(folder, "engine.pid"))) return;
  const failure = { reason, message, retryable: isRetryable(reason) };
  await writeInto(folder, "failure.json", JSON.stringify(failure));
}

/** People look about once a second; the disk need not see more. */
const PROGRESS_EVERY_MS = 500;

type ProgressWriter = (detail: string, doneBytes: number, totalBytes: number) => void;

/** `onRemoved` is called when another worker took the folder away. */
function progressWriter(ctx: BaseCtx, folder: ReplicaFolder, onRemoved: () => void): ProgressWriter {
  let nextAtMs = 0;
  return (detail, doneBytes, totalBytes) => {
    const now = ctx.clock.monotonicMs();
    if (now < nextAtMs && doneBytes < totalBytes) return;
    nextAtMs = now + PROGRESS_EVERY_MS;
    writeInto(folder, "progress.json", JSON.stringify({ detail, doneBytes, totalBytes })).then(
      (written) => written || onRemoved(),
      (error: unknown) => ctx.log.debug({ err: error }, "progress could not be written"),
    );
  };
}

const SLOT_POLL_MS = 250;

/** One start after the other within this process, and only while few engines of this machine are loading. */
async function inStartQueue(
  ctx: BaseCtx & { readonly signal: AbortSignal },
  state: DriverState,
  start: () => Promise<void>,
): Promise<void> {
  const turn = state.startQueue.then(async () => {
    while ((await loadingCount(state.options)) >= startsMax(state)) {
      await ctx.clock.sleep(SLOT_POLL_MS, ctx.signal);
    }
    ctx.signal.throwIfAborted();
    await start();
  });
  state.startQueue = turn.catch(() => {});
  await turn;
}

function startsMax(state: DriverState): number {
  return state.options.startsMax ?? Math.max(1, Math.floor(machine().cpuCount / 2));
}

async function loadingCount({ home, programs = {} }: LocalDriverOptions): Promise<number> {
  const names = (await readdir(join(home, "replicas"))).filter(isReplicaName);
  const loading = await Promise.all(names.map((name) => isLoading(folderOf(home, name), programs)));
  return loading.filter(Boolean).length;
}

async function isLoading(folder: ReplicaFolder, programs: object): Promise<boolean> {
  const claim = parseClaim(await readText(fileIn(folder, "engine.pid")));
  if (claim.kind !== "process") return claim.kind === "starting";
  const engine = (await readJson(folder, "spec.json", specFile))?.engine ?? "";
  const isProgram = Object.hasOwn(programs, engine);
  const isUp = isProgram
    ? await exists(fileIn(folder, "up.json"))
    : (await readText(fileIn(folder, "address.json"))) !== "";
  if (isUp) return false;
  return isAlive(claim.identity);
}

const CLAIM_POLL_MS = 5;
/** A shell needs milliseconds; after this the machine is so busy that counting starts can't matter. */
const CLAIM_WAIT_MS = 10_000;

async function untilClaimed(ctx: BaseCtx, folder: ReplicaFolder, ended: () => boolean): Promise<void> {
  const giveUpAt = ctx.clock.monotonicMs() + CLAIM_WAIT_MS;
  while (!ended() && ctx.clock.monotonicMs() < giveUpAt) {
    if (parseClaim(await readText(fileIn(folder, "engine.pid"))).kind === "process") return;
    await ctx.clock.sleep(CLAIM_POLL_MS);
  }
}

function unknownRegion(region: string): StatusError {
  return new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "PLACE_UNKNOWN",
    message: `This machine is no region named ${region}.`,
  });
}
