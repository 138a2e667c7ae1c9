/** What lies in buckets, and taking away what may not stay: the rules are made elsewhere, the longest unused goes first. */
import { readdir, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { BaseCtx } from "../../base/ctx.ts";
import { isUuid } from "../../base/id.ts";
import type { StorageRule, StoredPart } from "../driver.ts";
import { bucketsIn, partOf } from "./buckets.ts";

/** Files that belong together (a state and its tokens), or one by itself. */
interface Unit {
  readonly modelId: string;
  readonly paths: readonly string[];
  readonly bytes: number;
  readonly usedAtMs: number;
}

export async function listParts(home: string): Promise<readonly StoredPart[]> {
  const parts: StoredPart[] = [];
  for (const bucketId of await idsIn(bucketsIn(home))) {
    for (const modelId of await idsIn(join(bucketsIn(home), bucketId))) {
      const units = await unitsOf(home, bucketId, modelId);
      const last = Math.max(...units.map((unit) => unit.usedAtMs));
      parts.push({
        bucketId,
        modelId,
        bytes: sum(units),
        states: units.length,
        lastUsedAt: units.length === 0 ? null : new Date(last),
      });
    }
  }
  return parts;
}

export async function trimBuckets(
  ctx: BaseCtx,
  home: string,
  rules: readonly StorageRule[],
): Promise<ReadonlyMap<string, number>> {
  const evicted = new Map<string, number>();
  for (const rule of rules) evicted.set(rule.bucketId, await trimBucket(ctx, home, rule));
  return evicted;
}

/** Gives the bytes that went for want of room. */
async function trimBucket(ctx: BaseCtx, home: string, rule: StorageRule): Promise<number> {
  const { bucketId, limitBytes, usedSince } = rule;
  const units: Unit[] = [];
  for (const modelId of await idsIn(join(bucketsIn(home), bucketId))) {
    if (limitBytes > 0 && rule.modelIds.includes(modelId)) {
      units.push(...(await unitsOf(home, bucketId, modelId)));
    } else await rm(partOf(home, { bucketId, modelId }), { recursive: true, force: true });
  }
  if (limitBytes === 0) await rmdir(join(bucketsIn(home), bucketId)).catch(() => {}); // empty now, or gone
  const kept = units.filter((unit) => unit.usedAtMs >= usedSince.getTime());
  const old = units.filter((unit) => !kept.includes(unit));
  const over = overLimit(kept, limitBytes);
  for (const unit of [...old, ...over]) {
    ctx.signal?.throwIfAborted();
    // The tokens first: a state without them is nobody's, tokens without a state would be looked for.
    for (const path of unit.paths) await rm(path, { force: true });
  }
  return sum(over);
}

/** The longest unused, until the rest fits. */
function overLimit(units: readonly Unit[], limitBytes: number): readonly Unit[] {
  let bytes = 0;
  return [...units]
    .sort((a, b) => b.usedAtMs - a.usedAtMs)
    .filter((unit) => {
      bytes += unit.bytes;
      return bytes > limitBytes;
    });
}

async function unitsOf(home: string, bucketId: string, modelId: string): Promise<readonly Unit[]> {
  const root = partOf(home, { bucketId, modelId });
  const files = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
  const groups = Map.groupBy(paths, (path) => path.replace(/\.(state|tokens|draft)$/, ""));
  const units = await Promise.all([...groups.values()].map((group) => unitOf(modelId, group)));
  return units.filter((unit) => unit !== undefined);
}

async function unitOf(modelId: string, group: readonly string[]): Promise<Unit | undefined> {
  const found = await Promise.all(group.map((path) => stat(path).catch(() => undefined)));
  const stats = found.filter((one) => one !== undefined);
  if (stats.length === 0) return undefined;
  return {
    modelId,
    paths: [...group].sort().reverse(),
    bytes: stats.reduce((total, one) => total + one.size, 0),
    usedAtMs: Math.max(...stats.map((one) => Math.max(one.mtimeMs, one.atimeMs))),
  };
}

/** Folders under the names that we give; what else lies there is not ours. */
async function idsIn(dir: string): Promise<readonly string[]> {
  return (await readdir(dir).catch(() => [])).filter((name) => isUuid(name));
}

function sum(units: readonly Unit[]): number {
  return units.reduce((total, unit) => total + unit.bytes, 0);
}
