/**
 * The shared store of weights on this disk. `blobs/<key>` are whole, checked files named by content; `partial/<key>` are
 * downloads under way; `leases/<key>/…` name folders that use a blob, and count for as long as the folder exists;
 * `manifests/` remember what the hub said. Any number of processes share one store; what changes the set of blobs or leases
 * holds the store's lock for a moment, a download its blob's lock.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, statfs, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import lockfile from "proper-lockfile";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";

export interface Cache {
  readonly dir: string;
  readonly bytesMax: number;
  /** Free bytes of the disk; handed in so that a full disk can be tested. */
  freeBytes(): Promise<number>;
}

export function openCache(dir: string, bytesMax: number, freeBytes?: () => Promise<number>): Cache {
  return { dir, bytesMax, freeBytes: freeBytes ?? (() => diskFreeBytes(dir)) };
}

async function diskFreeBytes(dir: string): Promise<number> {
  const disk = await statfs(dir);
  return disk.bavail * disk.bsize;
}

export const blobPath = (cache: Cache, key: string): string => join(cache.dir, "blobs", key);
export const partialPath = (cache: Cache, key: string): string => join(cache.dir, "partial", key);

export async function makeFolders(cache: Cache): Promise<void> {
  for (const name of ["blobs", "partial", "leases", "manifests"]) {
    await mkdir(join(cache.dir, name), { recursive: true });
  }
}

/** True when the whole file is there. */
export async function hasBlob(cache: Cache, key: string, sizeBytes: number): Promise<boolean> {
  return (await sizeOf(blobPath(cache, key))) === sizeBytes;
}

export async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => found.size,
    () => undefined,
  );
}

/** A lock whose holder died is free again after this long without a sign of life. */
const LOCK_STALE_MS = 10_000;
const LOCK_POLL_MS = 50;
/** What is done under the store's lock takes milliseconds; this long means a broken disk. */
const LOCK_WAIT_MS = 60_000;

/** Runs `work` while no other process changes the set of blobs and leases. */
export async function underCacheLock<T>(ctx: BaseCtx, cache: Cache, work: () => Promise<T>): Promise<T> {
  const giveUpAt = ctx.clock.monotonicMs() + LOCK_WAIT_MS;
  for (;;) {
    const release = await tryLock(join(cache.dir, "cache.lock"));
    if (release) return await work().finally(release.free);
    if (ctx.clock.monotonicMs() > giveUpAt) throw busy();
    await ctx.clock.sleep(LOCK_POLL_MS, ctx.signal);
  }
}

export interface HeldLock {
  free(): Promise<void>;
  /** Aborts when the lock was lost, for example because the process slept too long. */
  readonly lost: AbortSignal;
}

/** The lock, or undefined while another (in this process or elsewhere) holds it. */
export async function tryLock(path: string): Promise<HeldLock | undefined> {
  const lost = new AbortController();
  try {
    const release = await lockfile.lock(path, {
      lockfilePath: path,
      realpath: false,
      stale: LOCK_STALE_MS,
      onCompromised: () => lost.abort(),
    });
    return { free: () => release().catch(() => {}), lost: lost.signal };
  } catch (error) {
    if (isLocked(error)) return undefined;
    throw error;
  }
}

function isLocked(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ELOCKED";
}

/** So many of one blob before those of folders that are gone are looked for and forgotten. */
const LEASES_KEPT = 64;

/** Marks the blob as used now, and by the folder `holder` for as long as that exists. Call it under the store's lock. */
export async function leaseBlob(ctx: BaseCtx, cache: Cache, key: string, holder: string): Promise<void> {
  if (holder !== "") {
    const folder = join(cache.dir, "leases", key);
    await mkdir(folder, { recursive: true });
    await writeWhole(join(folder, createHash("sha256").update(holder).digest("hex").slice(0, 32)), holder);
    if ((await readdir(folder)).length > LEASES_KEPT) await isLeased(cache, key);
  }
  const now = ctx.clock.now();
  await utimes(blobPath(cache, key), now, now).catch(() => {});
}

/** Blobs given out this recently are kept although no lease says so: their receiver has yet to open them. */
const JUST_USED_MS = 60_000;
/** A download that nobody continued for this long is given up when room is needed. */
const PARTIAL_IDLE_MS = 10 * 60_000;

/**
 * Makes room for `neededBytes`: within the store's limit and on the disk, by removing what was used least recently. Never
 * removes what a lease or this call (`keep`) uses. Throws DISK_FULL with needed and available bytes. Under the store's lock.
 */
export async function makeRoom(
  ctx: BaseCtx,
  cache: Cache,
  neededBytes: number,
  keep: ReadonlySet<string>,
): Promise<void> {
  const stored = await listStored(ctx, cache, keep);
  const usedBytes = stored.reduce((sum, one) => sum + one.bytes, 0);
  const excess = Math.max(
    usedBytes + neededBytes - cache.bytesMax,
    neededBytes + DISK_RESERVE_BYTES - (await cache.freeBytes()),
  );
  const going = await leastRecentlyUsed(cache, stored, excess);
  const freed = going.reduce((sum, one) => sum + one.bytes, 0);
  if (freed < excess) throw diskFull(neededBytes, Math.max(0, neededBytes - excess + freed));
  for (const one of going) {
    await rm(one.path, { force: true });
    ctx.log.info({ blob: one.key, bytes: one.bytes }, "weights removed to make room");
  }
}

/** As many files as make up `bytes`, those used longest ago first; fewer when there are no more that may go. */
async function leastRecentlyUsed(cache: Cache, stored: readonly Stored[], bytes: number): Promise<Stored[]> {
  const going: Stored[] = [];
  let left = bytes;
  for (const one of stored.filter((each) => each.removable).sort((a, b) => a.usedMs - b.usedMs)) {
    if (left <= 0) break;
    if (await isLeased(cache, one.key)) continue;
    going.push(one);
    left -= one.bytes;
  }
  return going;
}

/** Left free for everything else on the disk, such as logs and the database. */
const DISK_RESERVE_BYTES = 256 * 1024 * 1024;

interface Stored {
  readonly key: string;
  readonly path: string;
  readonly bytes: number;
  readonly usedMs: number;
  readonly removable: boolean;
}

async function listStored(ctx: BaseCtx, cache: Cache, keep: ReadonlySet<string>): Promise<Stored[]> {
  const now = ctx.clock.now().getTime();
  const inFolder = async (folder: string, idleMs: number): Promise<Stored[]> => {
    const names = await readdir(join(cache.dir, folder));
    const found = await Promise.all(
      names.map(async (name): Promise<Stored[]> => {
        const path = join(cache.dir, folder, name);
        const file = await stat(path).catch(() => undefined);
        if (!file?.isFile()) return [];
        const key = name.replace(/\.etag$/, "");
        const removable = !keep.has(key) && now - file.mtimeMs > idleMs;
        return [{ key, path, bytes: file.size, usedMs: file.mtimeMs, removable }];
      }),
    );
    return found.flat();
  };
  return [...(await inFolder("blobs", JUST_USED_MS)), ...(await inFolder("partial", PARTIAL_IDLE_MS))];
}

/** True while a folder that uses the blob exists; forgets the leases of folders that are gone. */
async function isLeased(cache: Cache, key: string): Promise<boolean> {
  const folder = join(cache.dir, "leases", key);
  let living = 0;
  for (const name of await readdir(folder).catch(() => [])) {
    const lease = join(folder, name);
    const holder = await readFile(lease, "utf8").catch(() => "");
    if (holder !== "" && (await stat(holder).catch(() => undefined))) living++;
    else await rm(lease, { force: true });
  }
  return living > 0;
}

let drafts = 0;

/** Writes a file whole or not at all. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const draft = `${path}.${process.pid}.${drafts++}.draft`;
  await writeFile(draft, content, { mode: 0o644 });
  await rename(draft, path);
}

export function diskFull(neededBytes: number, availableBytes: number): StatusError {
  return new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "DISK_FULL",
    message: `The weights need ${gib(neededBytes)} and ${gib(availableBytes)} can be had here. Free disk space, or raise the limit of the weights cache.`,
    metadata: { neededBytes: String(neededBytes), availableBytes: String(availableBytes) },
  });
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(bytes < 2 ** 30 ? 3 : 1)} GiB`;
}

function busy(): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "UNAVAILABLE",
    message: "The weights cache is locked by another process that does not finish. Try again.",
    retryAfterMs: LOCK_STALE_MS,
  });
}
