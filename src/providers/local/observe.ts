import { stat } from "node:fs/promises";
import type { BaseCtx } from "../../base/ctx.ts";
import type { EngineMeasured, ReplicaFailure, ReplicaName, ReplicaObservation } from "../driver.ts";
import { boundLog, loadingShare, readTail, TAIL_BYTES } from "./engine-log.ts";
import {
  addressFile,
  exists,
  failureFile,
  fileIn,
  folderOf,
  measuredFile,
  progressFile,
  type ReplicaFolder,
  readJson,
  readText,
  removingFile,
  specFile,
  writeInto,
} from "./folder.ts";
import { askHealth } from "./health.ts";
import { lastWords } from "./last-words.ts";
import { ENGINE_HOST } from "./options.ts";
import { isAlive, parseClaim } from "./process-table.ts";
import type { EngineProgram } from "./program.ts";
import { pushRemoval } from "./remove.ts";
import type { DriverState } from "./state.ts";

/** Looks at few at once: each look may wait for an engine's health. */
const LOOKS_AT_ONCE = 16;

/** What each replica is doing, as its folder and its process tell. Also pushes what other workers left half-done. */
export async function observe(
  ctx: BaseCtx,
  state: DriverState,
  names: readonly ReplicaName[],
): Promise<readonly ReplicaObservation[]> {
  const seen: ReplicaObservation[] = [];
  for (let from = 0; from < names.length; from += LOOKS_AT_ONCE) {
    const looks = names.slice(from, from + LOOKS_AT_ONCE).map((name) => observeOne(ctx, state, name));
    seen.push(...(await Promise.all(looks)));
  }
  return seen;
}

type Seen = Omit<ReplicaObservation, "name" | "at">;

async function observeOne(ctx: BaseCtx, state: DriverState, name: ReplicaName): Promise<ReplicaObservation> {
  const at = ctx.clock.now();
  try {
    return { name, at, ...(await look(ctx, state, folderOf(state.options.home, name))) };
  } catch (error) {
    if (ctx.signal?.aborted) throw error;
    ctx.log.warn({ replica: name, err: error }, "a replica could not be observed");
    return { name, at, phase: "unknown" };
  }
}

async function look(ctx: BaseCtx, state: DriverState, folder: ReplicaFolder): Promise<Seen> {
  if (!(await exists(folder.path))) return { phase: "absent" };
  const removing = await readJson(folder, "removing.json", removingFile);
  if (removing) {
    const outcome = await pushRemoval(ctx, state, folder);
    return outcome === "gone"
      ? { phase: "absent" }
      : { phase: "up", detail: `finishing its streams until ${removing.killAt}` };
  }
  const failure = await readJson(folder, "failure.json", failureFile);
  if (failure) return { phase: "gone", failure };
  const claim = parseClaim(await readText(fileIn(folder, "engine.pid")));
  if (claim.kind === "open") return beforeStart(folder, state);
  if (claim.kind === "never") return { phase: "absent" };
  if (claim.kind === "starting") {
    return (await isStale(ctx, folder)) ? gone(await lastWords(state, folder)) : { phase: "loading" };
  }
  if (!(await isAlive(claim.identity))) return gone(await lastWords(state, folder));
  await boundLog(folder);
  return running(ctx, state, folder);
}

function gone(failure: ReplicaFailure): Seen {
  return { phase: "gone", failure };
}

async function beforeStart(folder: ReplicaFolder, state: DriverState): Promise<Seen> {
  const progress = await readJson(folder, "progress.json", progressFile);
  if (!progress) {
    const detail = state.starts.has(folder.name) ? "preparing weights" : "waiting for a worker";
    return { phase: "loading", detail };
  }
  const { doneBytes, totalBytes } = progress;
  const detail = doneBytes < totalBytes ? progress.detail : "waiting for its turn to start";
  return { phase: "loading", detail, progress: { doneBytes, totalBytes } };
}

async function running(ctx: BaseCtx, state: DriverState, folder: ReplicaFolder): Promise<Seen> {
  const address = await readJson(folder, "address.json", addressFile);
  if (!address) return loading(folder);
  const engineKey = (await readText(fileIn(folder, "engine-key"))) ?? "";
  const health = await askHealth(ctx, { host: ENGINE_HOST, port: address.port, engineKey });
  const program = await programOf(state, folder);
  if (health === 200) {
    const measured = program && (await measuredOnce(program, folder));
    const up: Seen = { phase: "up", address: { host: ENGINE_HOST, port: address.port } };
    return measured ? { ...up, measured } : up;
  }
  // A program listens only when it is ready, at the port that was picked for it.
  if (program && !(await exists(fileIn(folder, "up.json")))) {
    return { phase: "loading", detail: await programProgress(program, folder) };
  }
  const detail =
    health === undefined ? "the engine does not answer /health" : `the engine answers ${health} to /health`;
  return { phase: "unknown", detail };
}

async function programOf(state: DriverState, folder: ReplicaFolder): Promise<EngineProgram | undefined> {
  const spec = await readJson(folder, "spec.json", specFile);
  return state.options.programs?.[spec?.engine ?? ""];
}

/** A start's lines, before the ones of requests. */
const START_LOG_BYTES = 1024 * 1024;

/** Read from the log when the engine is first seen up, and kept: later the log is cut. */
async function measuredOnce(program: EngineProgram, folder: ReplicaFolder): Promise<EngineMeasured> {
  const known = await readJson(folder, "up.json", measuredFile);
  if (known) return known;
  const measured: Record<string, number> = {};
  for (const line of (await readTail(fileIn(folder, "engine.log"), START_LOG_BYTES)).split("\n")) {
    const event = program.engine.readLog(line);
    if (event?.kind === "measured") measured[event.what] = event.value;
  }
  await writeInto(folder, "up.json", JSON.stringify(measured));
  return measured;
}

async function programProgress(program: EngineProgram, folder: ReplicaFolder): Promise<string> {
  const lines = (await readTail(fileIn(folder, "engine.log"), TAIL_BYTES)).split("\n");
  for (const line of lines.toReversed()) {
    const event = program.engine.readLog(line);
    if (event?.kind === "progress") return event.detail;
  }
  return "starting the engine";
}

async function loading(folder: ReplicaFolder): Promise<Seen> {
  const share = await loadingShare(folder);
  const detail =
    share === undefined ? "starting the engine" : `loading weights, ${Math.floor(share * 100)} %`;
  return { phase: "loading", detail };
}

/** A shell that took the claim and died before it wrote its name. */
const STARTING_MAX_MS = 10_000;

async function isStale(ctx: BaseCtx, folder: ReplicaFolder): Promise<boolean> {
  const claim = await stat(fileIn(folder, "engine.pid")).catch(() => undefined);
  return claim !== undefined && ctx.clock.now().getTime() - claim.mtimeMs > STARTING_MAX_MS;
}
