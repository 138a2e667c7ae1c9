/** Brings one file of a repository into the store: resumed where it broke, checked as a whole, visible only when complete. */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import type { BaseCtx } from "../base/ctx.ts";
import type { GuardedStream } from "../base/guarded-client.ts";
import { StatusError } from "../base/status.ts";
import type { WeightsFile } from "../engines/engine.ts";
import {
  blobPath,
  type Cache,
  diskFull,
  hasBlob,
  partialPath,
  sizeOf,
  tryLock,
  writeWhole,
} from "./cache.ts";
import { drain, openFile } from "./hub.ts";
import { type Hub, pauseBefore, type RepositoryRef, unreachable } from "./hub-answers.ts";

export interface Download {
  readonly ref: RepositoryRef;
  readonly file: WeightsFile;
  /** The name in the store; see blobKey. */
  readonly key: string;
  /** Bytes of this file that are on disk now. */
  onBytes(doneBytes: number): void;
}

/** Attempts in a row that bring nothing; one that brings bytes starts the count again. */
const ATTEMPTS_MAX = 6;
/** However often bytes arrive, a file that breaks this often is given up. */
const BREAKS_MAX = 200;
const PAUSE_MS_MAX = 60_000;
const WAIT_POLL_MS = 250;

/** Returns when the blob is there. When another process or call is fetching it, waits and shows that one's progress. */
export async function downloadBlob(
  ctx: BaseCtx,
  deps: { readonly hub: Hub; readonly cache: Cache },
  download: Download,
): Promise<void> {
  const { cache } = deps;
  while (!(await hasBlob(cache, download.key, download.file.sizeBytes))) {
    const lock = await tryLock(`${partialPath(cache, download.key)}.lock`);
    if (!lock) {
      download.onBytes((await sizeOf(partialPath(cache, download.key))) ?? 0);
      await ctx.clock.sleep(WAIT_POLL_MS, ctx.signal);
      continue;
    }
    try {
      if (await hasBlob(cache, download.key, download.file.sizeBytes)) return;
      const signal = ctx.signal ? AbortSignal.any([ctx.signal, lock.lost]) : lock.lost;
      await fetchWithResume({ ...ctx, signal }, deps, download);
    } finally {
      await lock.free();
    }
  }
}

async function fetchWithResume(
  ctx: BaseCtx,
  deps: { readonly hub: Hub; readonly cache: Cache },
  download: Download,
): Promise<void> {
  const partial = await openPartial(deps.cache, download);
  try {
    let idleAttempts = 0;
    for (let breaks = 0; partial.size < download.file.sizeBytes; breaks++) {
      const before = partial.size;
      try {
        await fetchRest(ctx, deps.hub, partial, download);
      } catch (error) {
        idleAttempts = partial.size > before ? 1 : idleAttempts + 1;
        const pauseMs = pauseBefore(error, idleAttempts, PAUSE_MS_MAX);
        if (pauseMs === undefined || idleAttempts >= ATTEMPTS_MAX || breaks >= BREAKS_MAX) throw error;
        ctx.log.info({ file: download.file.name, doneBytes: partial.size }, "download broke, going on");
        await ctx.clock.sleep(pauseMs, ctx.signal);
      }
    }
    await publish(deps.cache, partial, download);
  } catch (error) {
    throw isDiskFull(error) ? diskFull(download.file.sizeBytes, partial.size) : error;
  } finally {
    await partial.handle.close();
  }
}

/** A download under way: how much is there, the hash of exactly that, and the version (etag) that it belongs to. */
interface Partial {
  readonly path: string;
  readonly handle: FileHandle;
  size: number;
  hash: Hash;
  etag: string;
}

async function openPartial(cache: Cache, download: Download): Promise<Partial> {
  const path = partialPath(cache, download.key);
  const etag = await readFile(`${path}.etag`, "utf8").catch(() => "");
  const handle = await open(path, "a", 0o600);
  const partial: Partial = { path, handle, size: 0, hash: createHash("sha256"), etag };
  const { size } = await handle.stat();
  // Without a version or a checksum nothing tells whether the rest would fit to what is there.
  const isResumable = size <= download.file.sizeBytes && (etag !== "" || download.file.sha256 !== "");
  if (size > 0 && isResumable) {
    for await (const chunk of createReadStream(path)) partial.hash.update(chunk);
    partial.size = size;
  } else if (size > 0) {
    await startOver(partial);
  }
  return partial;
}

async function startOver(partial: Partial): Promise<void> {
  await partial.handle.truncate(0);
  partial.size = 0;
  partial.hash = createHash("sha256");
}

async function fetchRest(ctx: BaseCtx, hub: Hub, partial: Partial, download: Download): Promise<void> {
  const from = { offset: partial.size, etag: partial.etag };
  const answer = await openFile(ctx, hub, download.ref, download.file, from);
  if (!continues(answer, partial.size)) await startOver(partial);
  if (answer.status === 416) {
    await drain(answer);
    throw unreachable("The hub has another version of the file than before; it is fetched again.");
  }
  await rememberEtag(partial, answer);
  for await (const chunk of answer.body) {
    if (partial.size + chunk.byteLength > download.file.sizeBytes) throw await wrongBytes(partial, download);
    await partial.handle.write(chunk);
    partial.hash.update(chunk);
    partial.size += chunk.byteLength;
    download.onBytes(partial.size);
  }
  if (partial.size < download.file.sizeBytes) throw unreachable("The hub ended the file early.");
}

function continues(answer: GuardedStream, offset: number): boolean {
  if (offset === 0) return true;
  return answer.status === 206 && (answer.headers["content-range"] ?? "").startsWith(`bytes ${offset}-`);
}

/** If-Range takes strong etags only (RFC 9110, 13.1.5). */
async function rememberEtag(partial: Partial, answer: GuardedStream): Promise<void> {
  const etag = answer.headers.etag ?? "";
  partial.etag = etag.startsWith('"') ? etag : "";
  await writeWhole(`${partial.path}.etag`, partial.etag);
}

async function publish(cache: Cache, partial: Partial, download: Download): Promise<void> {
  const { sha256 } = download.file;
  if (sha256 !== "" && partial.hash.digest("hex") !== sha256) throw await wrongBytes(partial, download);
  await partial.handle.sync();
  // Engines read it as another user.
  await chmod(partial.path, 0o644);
  await rename(partial.path, blobPath(cache, download.key));
  await rm(`${partial.path}.etag`, { force: true });
}

async function wrongBytes(partial: Partial, download: Download): Promise<StatusError> {
  await startOver(partial);
  await rm(partial.path, { force: true });
  await rm(`${partial.path}.etag`, { force: true });
  return new StatusError({
    code: "DATA_LOSS",
    reason: "WEIGHTS_CHECKSUM",
    message: `${download.file.name} arrived with other bytes than the hub's list promises; they were thrown away. Try again.`,
  });
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}
