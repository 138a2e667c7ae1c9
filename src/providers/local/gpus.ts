/**
 * Which replica has which GPU. A claim is a file, `<home>/gpus/<uuid>`, that holds the replica's name: made whole and at most once, so
 * that no two replicas get one GPU, whatever worker tries and whenever it dies. It counts while the replica's folder exists.
 */
import { link, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import lockfile from "proper-lockfile";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { GpuType } from "../../engines/engine.ts";
import type { RegionOffer, ReplicaName, ReplicaSpec } from "../driver.ts";
import { exists, folderOf, isReplicaName, makePrivateDir, readText } from "./folder.ts";
import { askNvidiaSmi, type Gpu } from "./nvidia-smi.ts";
import type { LocalDriverOptions } from "./options.ts";

const dirOf = (home: string): string => join(home, "gpus");

/** GPUs of types that can be asked for, and whole. */
async function usable(ctx: BaseCtx, options: LocalDriverOptions): Promise<readonly Gpu[]> {
  const answer = await askNvidiaSmi(options.nvidiaSmi ?? "nvidia-smi");
  if (answer.kind === "failed") ctx.log.warn({ why: answer.why }, "nvidia-smi does not tell the GPUs");
  if (answer.kind !== "gpus") return [];
  return answer.gpus.filter((gpu) => gpu.type !== "UNSPECIFIED" && !gpu.isMig);
}

/** What is free of each type. A type of which all are taken is still told, with none free. */
export async function freeGpus(
  ctx: BaseCtx,
  options: LocalDriverOptions,
): Promise<readonly Pick<RegionOffer, "gpuType" | "gpuCountMax" | "gpuMemoryBytes">[]> {
  const gpus = await usable(ctx, options);
  const types = [...new Set(gpus.map((gpu) => gpu.type))];
  const found = types.map(async (gpuType) => {
    const same = gpus.filter((gpu) => gpu.type === gpuType);
    const holders = await Promise.all(same.map((gpu) => holderOf(options.home, gpu.uuid)));
    return {
      gpuType,
      gpuCountMax: holders.filter((holder) => holder === undefined).length,
      // Of several sizes the smallest: what fits there fits on each.
      gpuMemoryBytes: Math.min(...same.map((gpu) => gpu.memoryBytes)),
    };
  });
  return Promise.all(found);
}

/** The replica's GPUs, its own of before first. Throws CAPACITY_SHORT, and then holds none that it did not hold before. */
export async function claimGpus(
  ctx: BaseCtx,
  options: LocalDriverOptions,
  spec: Pick<ReplicaSpec, "name" | "gpuType" | "gpuCount">,
): Promise<readonly string[]> {
  if (spec.gpuCount === 0) return [];
  const gpus = (await usable(ctx, options)).filter((gpu) => gpu.type === spec.gpuType);
  await makePrivateDir(dirOf(options.home));
  return underLock(ctx, options.home, () => choose(ctx, options.home, gpus, spec));
}

async function choose(
  ctx: BaseCtx,
  home: string,
  gpus: readonly Gpu[],
  spec: Pick<ReplicaSpec, "name" | "gpuType" | "gpuCount">,
): Promise<readonly string[]> {
  const held: string[] = [];
  const others: string[] = [];
  for (const { uuid } of gpus) {
    const holder = await holderOf(home, uuid);
    if (holder === spec.name) held.push(uuid);
    else if (holder === undefined) others.push(uuid);
  }
  const fresh: string[] = [];
  for (const uuid of others) {
    if (held.length + fresh.length >= spec.gpuCount) break;
    if (await take(ctx, home, uuid, spec.name)) fresh.push(uuid);
  }
  const all = [...held, ...fresh].slice(0, spec.gpuCount).sort();
  if (all.length === spec.gpuCount) return all;
  for (const uuid of fresh) await rm(join(dirOf(home), uuid), { force: true });
  throw tooFew(spec.gpuType, spec.gpuCount, all.length);
}

/** Gives back what a replica had; call it once nothing of it runs. */
export async function releaseGpus(home: string, name: ReplicaName): Promise<void> {
  const uuids = await readdir(dirOf(home)).catch(() => []);
  for (const uuid of uuids) {
    const path = join(dirOf(home), uuid);
    if ((await readText(path))?.trim() === name) await rm(path, { force: true });
  }
}

/** Who has a GPU; undefined when nobody has, or only a replica that is gone. */
async function holderOf(home: string, uuid: string): Promise<ReplicaName | undefined> {
  const name = (await readText(join(dirOf(home), uuid)))?.trim();
  if (name === undefined || !isReplicaName(name)) return undefined;
  return (await exists(folderOf(home, name).path)) ? name : undefined;
}

/** Under the lock, so that a claim that is gone by now is not another's fresh one; the link is made only where there is none. */
async function take(ctx: BaseCtx, home: string, uuid: string, name: ReplicaName): Promise<boolean> {
  const path = join(dirOf(home), uuid);
  await rm(path, { force: true });
  const draft = join(dirOf(home), `.${uuid}.${ctx.random.uuid()}`);
  await writeFile(draft, `${name}\n`, { mode: 0o600 });
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** A lock whose holder died is free again after this long without a sign of life. */
const LOCK_STALE_MS = 10_000;
const LOCK_POLL_MS = 50;
/** Choosing takes milliseconds, and replicas start one after the other. */
const LOCK_WAIT_MS = 60_000;

async function underLock<T>(ctx: BaseCtx, home: string, work: () => Promise<T>): Promise<T> {
  const path = join(dirOf(home), ".lock");
  const giveUpAt = ctx.clock.monotonicMs() + LOCK_WAIT_MS;
  for (;;) {
    const release = await tryLock(path);
    if (release) return await work().finally(() => release().catch(() => {}));
    if (ctx.clock.monotonicMs() > giveUpAt) throw new Error("the lock of the GPUs is not given back");
    await ctx.clock.sleep(LOCK_POLL_MS, ctx.signal);
  }
}

async function tryLock(path: string): Promise<(() => Promise<void>) | undefined> {
  try {
    const how = { lockfilePath: path, realpath: false, stale: LOCK_STALE_MS, onCompromised: () => {} };
    return await lockfile.lock(path, how);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ELOCKED") return undefined;
    throw error;
  }
}

function tooFew(gpuType: GpuType, asked: number, free: number): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CAPACITY_SHORT",
    message: `This machine has ${free} free GPUs of type ${gpuType}; ${asked} were asked for. Pause or delete a model, or ask for fewer.`,
    metadata: { asked: String(asked), max: String(free) },
  });
}
