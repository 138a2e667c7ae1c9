/**
 * Users' buckets on this machine's disk: `<home>/storage/<bucket>/<model>/<shape>/`. The bucket and the model's folder are ours alone;
 * a shape's folder belongs to the user that engines run as, who gets it as an open descriptor and can reach nothing beside it.
 * A shape is one generation of the model on one set of weights: states that engines keep are true for the very same only.
 */
import { createHash } from "node:crypto";
import { chown, mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isUuid } from "../../base/id.ts";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec, ReplicaStorage } from "../driver.ts";
import { makePrivateDir } from "./folder.ts";
import type { LocalDriverOptions } from "./options.ts";

export function bucketsIn(home: string): string {
  return join(home, "storage");
}

/** Throws INTERNAL for ids that are none: they become a path. */
export function partOf(home: string, storage: Pick<ReplicaStorage, "bucketId" | "modelId">): string {
  const { bucketId, modelId } = storage;
  if (isUuid(bucketId) && isUuid(modelId)) return join(bucketsIn(home), bucketId, modelId);
  throw new StatusError({
    code: "INTERNAL",
    reason: "INTERNAL",
    message: "A bucket has an id that none can have.",
  });
}

/** Makes the folder that a replica keeps its states in; undefined for a replica that keeps none. */
export async function openPart(
  options: LocalDriverOptions,
  spec: ReplicaSpec,
  weights: readonly string[],
  drops: boolean,
): Promise<string | undefined> {
  if (!spec.storage) return undefined;
  const part = partOf(options.home, spec.storage);
  await makePrivateDir(bucketsIn(options.home));
  await makePrivateDir(join(part, ".."));
  await makePrivateDir(part);
  const dir = join(part, await shapeOf(spec, weights));
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if (drops) await chown(dir, options.uid, options.gid);
  return dir;
}

/** By the files' hashes; where a source tells none, by what changes when a file is written again. */
async function shapeOf({ key, weights, plan }: ReplicaSpec, paths: readonly string[]): Promise<string> {
  const files = await Promise.all(
    weights.files.map(async ({ name, sizeBytes, sha256 }, index) => {
      if (sha256 !== "") return [name, sizeBytes, sha256];
      const path = paths[index] ?? "";
      const found = await stat(path).catch(() => undefined);
      return [path, sizeBytes, found?.ino, found?.mtimeMs];
    }),
  );
  const text = JSON.stringify([plan.engine, weights.source, weights.revision, files, key.generation]);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
