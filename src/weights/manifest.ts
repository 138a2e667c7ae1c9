/** What the hub said of a source the last time: the answer when it can't be asked. */
import { createHash } from "node:crypto";
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { WeightsFacts } from "../engines/engine.ts";
import { type Cache, writeWhole } from "./cache.ts";

const size = z.number().int().nonnegative();
const schema = z.object({
  restricted: z.boolean(),
  facts: z.object({
    source: z.string(),
    revision: z.string(),
    files: z.array(z.object({ name: z.string(), sizeBytes: size, sha256: z.string() })),
    format: z.enum(["gguf", "safetensors"]),
    sizeBytes: size,
    architecture: z.string(),
    layers: size,
    embedding: size,
    heads: size,
    headsKv: size,
    headSize: size,
    contextMax: size,
    vocabulary: size,
    model: z
      .object({
        architectures: z.array(z.string()),
        dtype: z.string(),
        quantization: z.string(),
        experts: size,
        attention: z.array(
          z.object({ layers: size, vectors: size, size, latent: z.boolean(), window: size }),
        ),
      })
      .exactOptional(),
  }),
});

export interface Manifest {
  readonly restricted: boolean;
  readonly facts: WeightsFacts;
}

/** Who asks: what a restricted repository told one token is not told to another. */
export interface Asker {
  readonly endpoint: string;
  readonly source: string;
  readonly token: string;
}

/** Each is some kilobytes. */
const MANIFESTS_MAX = 2_000;

export async function saveManifest(cache: Cache, asker: Asker, manifest: Manifest): Promise<void> {
  await writeWhole(manifestPath(cache, asker, manifest.restricted), JSON.stringify(manifest));
  await forgetOldest(cache);
}

/** The stored answer for this asker, or undefined. A damaged file counts as none. */
export async function findManifest(cache: Cache, asker: Asker): Promise<Manifest | undefined> {
  for (const restricted of [false, true]) {
    const text = await readFile(manifestPath(cache, asker, restricted), "utf8").catch(() => "");
    const parsed = schema.safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
  }
  return undefined;
}

function manifestPath(cache: Cache, asker: Asker, restricted: boolean): string {
  const parts = [asker.endpoint, asker.source, restricted ? `token ${asker.token}` : "public"];
  return join(
    cache.dir,
    "manifests",
    `${createHash("sha256").update(JSON.stringify(parts)).digest("hex")}.json`,
  );
}

async function forgetOldest(cache: Cache): Promise<void> {
  const folder = join(cache.dir, "manifests");
  const names = await readdir(folder);
  if (names.length <= MANIFESTS_MAX) return;
  const aged = await Promise.all(
    names.map(async (name) => ({
      name,
      ms: (await stat(join(folder, name)).catch(() => undefined))?.mtimeMs ?? 0,
    })),
  );
  aged.sort((a, b) => b.ms - a.ms);
  for (const { name } of aged.slice(MANIFESTS_MAX)) await rm(join(folder, name), { force: true });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
