/** Starts an engine process: at most one for each replica folder, confined, and able to outlive us. */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { basename, join } from "node:path";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec } from "../driver.ts";
import { HEAP_MIB, llamaConfig, OVERHEAD_BYTES } from "../llama-process.ts";
import { openPart } from "./buckets.ts";
import { fileIn, type ReplicaFolder, readText, writeInto } from "./folder.ts";
import { linkAll } from "./link-all.ts";
import { ENGINE_HOST, type LocalDriverOptions } from "./options.ts";
import { CLAIM, parseClaim } from "./process-table.ts";
import { LAUNCH_PROGRAM, prepareProgram } from "./program.ts";

/**
 * What runs before the engine, in its process: it writes down who it is with O_EXCL (`set -C`), so that of all who try only one
 * becomes the engine, and no crash of ours falls between its existence and its record. The folder is the working directory:
 * one that was removed meanwhile, even if made anew, can't be written. Then it takes its limits, leaves the folder and empties
 * the environment but for a home: libraries ask for one, and a user that /etc/passwd does not know has none.
 * $1 = bound of private memory in KiB.
 */
const LAUNCH = `umask 077
limit=$1; shift
${CLAIM}
cd /
{ echo 500 > /proc/self/oom_score_adj; ulimit -d "$limit"; } 2>/dev/null
exec /usr/bin/env -i HOME=/ "$@"
`;

/** The bound of an engine's private memory; allocations beyond it fail in the engine. */
export function memoryLimitBytes(planBytes: number): number {
  return planBytes + OVERHEAD_BYTES;
}

/** Spawns and returns once the process exists. Another's claim is no error: the replica then has its engine. */
export async function spawnEngine(
  options: LocalDriverOptions,
  folder: ReplicaFolder,
  spec: ReplicaSpec,
  weights: readonly string[],
  gpus: readonly string[] = [],
): Promise<ChildProcess> {
  const opened: FileHandle[] = [];
  try {
    if (options.programs?.[spec.plan.engine])
      return await spawnProgram(options, folder, spec, { weights, gpus, opened });
    const fds = await openFiles(options, folder, weights, opened);
    const part = await openPart(options, spec, weights, dropsPrivileges(options));
    const storage = part === undefined ? undefined : await handOver(options, part, fds, opened);
    const child = spawn("/bin/sh", ["-c", LAUNCH, "sh", ...command(options, spec)], {
      cwd: folder.path,
      detached: true,
      env: {},
      stdio: ["pipe", fds.log, fds.log, fds.address, ...fds.weights, ...(storage?.fds ?? [])],
    });
    await spawned(child);
    child.stdin?.on("error", () => {}); // it ended before it read; its exit tells why
    child.stdin?.end(JSON.stringify(engineConfig(options, spec, fds.paths, storage?.dir)));
    child.unref();
    return child;
  } finally {
    for (const handle of opened) await handle.close();
  }
}

async function spawnProgram(
  options: LocalDriverOptions,
  folder: ReplicaFolder,
  spec: ReplicaSpec,
  use: {
    readonly weights: readonly string[];
    readonly gpus: readonly string[];
    readonly opened: FileHandle[];
  },
): Promise<ChildProcess> {
  const { weights, opened } = use;
  const drops = dropsPrivileges(options);
  const fds: number[] = [];
  if (drops) for (const path of weights) fds.push(await openReadable(options, path, opened));
  const part = await openPart(options, spec, weights, drops);
  if (drops && part !== undefined) fds.push(await openFolder(part, opened));
  const env = gpuEnv(use.gpus);
  const launch = await prepareProgram(options, folder, spec, weights, { drops, env, part });
  const log = await open(fileIn(folder, "engine.log"), "a", 0o600);
  const address = await open(fileIn(folder, "address.json"), "a", 0o600);
  opened.push(log, address);
  const child = spawn("/bin/sh", ["-c", LAUNCH_PROGRAM, "sh", ...launch.argv], {
    cwd: folder.path,
    detached: true,
    env: {},
    stdio: ["ignore", log.fd, log.fd, address.fd, ...fds],
  });
  await spawned(child);
  child.unref();
  return child;
}

/** By name, since numbers change; none for a replica on CPUs, which then sees no GPU that others use. */
function gpuEnv(uuids: readonly string[]): Readonly<Record<string, string>> {
  return { CUDA_VISIBLE_DEVICES: uuids.join(",") };
}

function command(options: LocalDriverOptions, spec: ReplicaSpec): string[] {
  const limitKib = Math.ceil(memoryLimitBytes(spec.plan.memoryBytes) / 1024);
  // The name is for people who look at the list of processes; the engine reads its configuration from stdin.
  return [String(limitKib), options.node, `--max-old-space-size=${HEAP_MIB}`, options.engineMain, spec.name];
}

interface OpenFiles {
  readonly log: number;
  readonly address: number;
  /** File descriptors 4 and up of the engine. */
  readonly weights: readonly number[];
  /** What the engine opens. */
  readonly paths: readonly string[];
}

async function openFiles(
  options: LocalDriverOptions,
  folder: ReplicaFolder,
  weights: readonly string[],
  opened: FileHandle[],
): Promise<OpenFiles> {
  const openAs = async (path: string, flags: string | number): Promise<number> => {
    const handle = await open(path, flags, 0o600);
    opened.push(handle);
    return handle.fd;
  };
  const log = await openAs(fileIn(folder, "engine.log"), "a");
  // Appending: who loses the claim must not empty what the winner wrote.
  const address = await openAs(fileIn(folder, "address.json"), "a");
  const names = weights.map((path, index) => linkName(path, index, weights.length));
  if (!dropsPrivileges(options)) {
    const dir = await linkWeights(folder, names, weights);
    return { log, address, weights: [], paths: names.map((name) => join(dir, name)) };
  }
  // The other user can't enter our folders. It gets the files as descriptors, and a folder (descriptor 4) of links to them, since
  // llama.cpp finds the parts of a split model by their names.
  const files: number[] = [];
  for (const path of weights) files.push(await openReadable(options, path, opened));
  const dir = await linkWeights(
    folder,
    names,
    files.map((_, index) => `/proc/self/fd/${index + 5}`),
  );
  const dirFd = await openAs(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  return { log, address, weights: [dirFd, ...files], paths: names.map((name) => `/proc/self/fd/4/${name}`) };
}

/** The folder under a name by which the engine reaches it: another user's is the descriptor after the weights. */
async function handOver(
  options: LocalDriverOptions,
  part: string,
  fds: OpenFiles,
  opened: FileHandle[],
): Promise<{ readonly dir: string; readonly fds: readonly number[] }> {
  if (!dropsPrivileges(options)) return { dir: part, fds: [] };
  const fd = await openFolder(part, opened);
  return { dir: `/proc/self/fd/${FIRST_FD + fds.weights.length}`, fds: [fd] };
}

async function openFolder(path: string, opened: FileHandle[]): Promise<number> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  opened.push(handle);
  return handle.fd;
}

/** Of what an engine is handed beyond its standard streams and its address. */
const FIRST_FD = 4;

/** True when the engine is started by root and becomes another user. */
export function dropsPrivileges(options: Pick<LocalDriverOptions, "uid">): boolean {
  return process.getuid?.() === 0 && options.uid !== 0;
}

async function linkWeights(
  folder: ReplicaFolder,
  names: readonly string[],
  targets: readonly string[],
): Promise<string> {
  const dir = fileIn(folder, "weights");
  // World-readable, but inside a folder that only its owner enters.
  await mkdir(dir, { recursive: true, mode: 0o755 });
  await linkAll(dir, names, targets);
  return dir;
}

/** `model.gguf`, or the names by which llama.cpp finds the parts of a split model from its first. */
function linkName(path: string, index: number, total: number): string {
  const digits = (value: number) => String(value).padStart(5, "0");
  if (total > 1) return `model-${digits(index + 1)}-of-${digits(total)}.gguf`;
  return basename(path).endsWith(".gguf") ? basename(path) : "model.gguf";
}

async function openReadable(
  options: LocalDriverOptions,
  path: string,
  opened: FileHandle[],
): Promise<number> {
  const handle = await open(path, "r");
  opened.push(handle);
  const { mode, uid, gid } = await handle.stat();
  const readable =
    (mode & 0o004) !== 0 ||
    (uid === options.uid && (mode & 0o400) !== 0) ||
    (gid === options.gid && (mode & 0o040) !== 0);
  if (readable) return handle.fd;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "WEIGHTS_PATH_REFUSED",
    message: `The weights file ${basename(path)} is not readable for the user that engines run as. Let others read it (chmod o+r).`,
  });
}

function engineConfig(
  options: LocalDriverOptions,
  spec: ReplicaSpec,
  weightsFiles: readonly string[],
  storageDir: string | undefined,
): object {
  const drops = dropsPrivileges(options);
  return llamaConfig(spec, {
    weightsFiles,
    host: ENGINE_HOST,
    port: 0,
    ...(storageDir !== undefined &&
      spec.storage && { storage: { dir: storageDir, limitBytes: spec.storage.limitBytes } }),
    unclaimedExitMs: options.unclaimedExitMs ?? UNCLAIMED_EXIT_MS,
    uid: drops ? options.uid : 0,
    gid: drops ? options.gid : 0,
  });
}

const UNCLAIMED_EXIT_MS = 120_000;

function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) =>
      reject(
        new StatusError({
          code: "UNAVAILABLE",
          reason: "ENGINE_FAILED",
          message: "The engine's process could not be started.",
          cause,
        }),
      ),
    );
  });
}

/** Writes down how a process ended, if it is the one that has the claim: one that came second ends, too. */
export async function recordExit(folder: ReplicaFolder, child: ChildProcess): Promise<void> {
  const claim = parseClaim(await readText(fileIn(folder, "engine.pid")));
  if (claim.kind !== "process" || claim.identity.pid !== child.pid) return;
  await writeInto(folder, "exit.json", JSON.stringify({ code: child.exitCode, signal: child.signalCode }));
}
