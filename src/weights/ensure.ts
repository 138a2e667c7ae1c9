import { createHash } from "node:crypto";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import type { WeightsFacts, WeightsFile } from "../engines/engine.ts";
import {
  blobPath,
  hasBlob,
  leaseBlob,
  makeFolders,
  makeRoom,
  partialPath,
  sizeOf,
  underCacheLock,
  writeWhole,
} from "./cache.ts";
import type { WeightsDeps } from "./deps.ts";
import { downloadBlob } from "./download.ts";
import { allowedPath, localWeights } from "./local-file.ts";
import { builtinBytes } from "./resolve.ts";
import { parseSource, type Source } from "./source.ts";

export interface EnsureInput {
  readonly facts: WeightsFacts;
  readonly hfToken: string;
  /** A folder that exists for as long as the files are in use: until it is gone, they are not removed to make room. */
  readonly holder?: string;
  onProgress?(doneBytes: number, totalBytes: number): void;
}

/** Makes the files be on disk and gives their paths, in the order of `facts.files`. Errors: see Weights.ensure. */
export async function ensureWeights(
  ctx: BaseCtx,
  deps: WeightsDeps,
  input: EnsureInput,
): Promise<readonly string[]> {
  const source = parseSource(input.facts.source);
  if (source.kind === "file") return checkLocalFiles(deps, source.path, input.facts);
  await makeFolders(deps.cache);
  const wanted = input.facts.files.map((file) => ({ file, key: blobKey(deps, source, input.facts, file) }));
  const missing = await reserve(ctx, deps, wanted, input.holder ?? "");
  if (source.kind === "builtin") await writeBuiltin(deps, source, missing);
  else await downloadAll(ctx, deps, source, input, wanted, missing);
  return wanted.map(({ key }) => blobPath(deps.cache, key));
}

interface Wanted {
  readonly file: WeightsFile;
  readonly key: string;
}

/** Files are known by their content; one whose hash the hub does not tell, by where it comes from. */
function blobKey(deps: WeightsDeps, source: Source, facts: WeightsFacts, file: WeightsFile): string {
  if (file.sha256 !== "") return file.sha256;
  const repo = source.kind === "hub" ? source.repo : "";
  const place = [deps.hub.endpoint, repo, facts.revision, file.name, file.sizeBytes];
  return `at-${createHash("sha256").update(JSON.stringify(place)).digest("hex")}`;
}

/** Under one lock: what is there is leased before anyone could remove it, and there is room for the rest. */
async function reserve(
  ctx: BaseCtx,
  deps: WeightsDeps,
  wanted: readonly Wanted[],
  holder: string,
): Promise<readonly Wanted[]> {
  return underCacheLock(ctx, deps.cache, async () => {
    const missing: Wanted[] = [];
    let neededBytes = 0;
    for (const one of wanted) {
      await leaseBlob(ctx, deps.cache, one.key, holder);
      if (await hasBlob(deps.cache, one.key, one.file.sizeBytes)) continue;
      missing.push(one);
      neededBytes += Math.max(
        0,
        one.file.sizeBytes - ((await sizeOf(partialPath(deps.cache, one.key))) ?? 0),
      );
    }
    if (missing.length > 0) {
      await makeRoom(ctx, deps.cache, neededBytes, new Set(wanted.map(({ key }) => key)));
    }
    return missing;
  });
}

async function downloadAll(
  ctx: BaseCtx,
  deps: WeightsDeps,
  source: Source & { readonly kind: "hub" },
  input: EnsureInput,
  wanted: readonly Wanted[],
  missing: readonly Wanted[],
): Promise<void> {
  const total = sumBytes(wanted);
  let done = total - sumBytes(missing);
  input.onProgress?.(done, total);
  const ref = { repo: source.repo, revision: input.facts.revision, token: input.hfToken };
  for (const { file, key } of missing) {
    const onBytes = (bytes: number) => input.onProgress?.(done + bytes, total);
    await downloadBlob(ctx, deps, { ref, file, key, onBytes });
    done += file.sizeBytes;
    input.onProgress?.(done, total);
  }
}

async function writeBuiltin(
  deps: WeightsDeps,
  source: Source & { readonly kind: "builtin" },
  missing: readonly Wanted[],
): Promise<void> {
  for (const { key } of missing) await writeWhole(blobPath(deps.cache, key), builtinBytes(deps, source));
}

/** Looks again: what was there at resolve may have been moved or replaced since. */
async function checkLocalFiles(
  deps: WeightsDeps,
  path: string,
  facts: WeightsFacts,
): Promise<readonly string[]> {
  const { files } = await localWeights(path, deps.allowedDirs);
  const same =
    files.length === facts.files.length &&
    files.every((file, index) => file.sizeBytes === facts.files[index]?.sizeBytes);
  if (same) return Promise.all(files.map((file) => allowedPath(file.name, deps.allowedDirs)));
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "WEIGHTS_CHECKSUM",
    message: `${path} has changed since the model was deployed. Deploy it again.`,
  });
}

function sumBytes(wanted: readonly Wanted[]): number {
  return wanted.reduce((sum, { file }) => sum + file.sizeBytes, 0);
}
