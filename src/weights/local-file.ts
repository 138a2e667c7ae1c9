/** Weights that lie on this machine: only below folders that the operator allowed, wherever links may point. */
import { open, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { StatusError } from "../base/status.ts";
import type { WeightsFile } from "../engines/engine.ts";
import type { ByteSource } from "./gguf-head.ts";
import { type PickedFiles, pickFiles, splitNames } from "./pick-files.ts";

/** A folder of weights has dozens of files; one of more is no such folder. */
const FOLDER_FILES_MAX = 10_000;

/** What a path means: a GGUF file with its parts, or a folder in which weights are looked for as in a repository. */
export async function localWeights(path: string, allowedDirs: readonly string[]): Promise<PickedFiles> {
  const real = await allowedPath(path, allowedDirs);
  if (!(await stat(real)).isDirectory()) {
    return { format: "gguf", files: await localFiles(path, allowedDirs) };
  }
  const names = (await readdir(real)).slice(0, FOLDER_FILES_MAX);
  const listed = names.map((name) => ({ name, sizeBytes: 0, sha256: "" }));
  const picked = pickFiles("The folder", listed, "");
  // Named as in the folder, where links may lead elsewhere: engines look for these names.
  const files = picked.files.map(async ({ name }) => {
    const found = await stat(await allowedPath(join(real, name), allowedDirs));
    if (!found.isFile()) throw notFound(join(path, name));
    return { name: join(real, name), sizeBytes: found.size, sha256: "" };
  });
  return { format: picked.format, files: await Promise.all(files) };
}

/** The path without links. Throws as localFiles. */
export async function allowedPath(path: string, allowedDirs: readonly string[]): Promise<string> {
  const allowed = await Promise.all(allowedDirs.map((dir) => realpath(dir).catch(() => resolve(dir))));
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) {
    const asked = resolve(path);
    throw [...allowedDirs.map((dir) => resolve(dir)), ...allowed].some((dir) => isBelow(asked, dir))
      ? notFound(path)
      : refused();
  }
  if (!allowed.some((dir) => isBelow(real, dir))) throw refused();
  return real;
}

/**
 * The file and, when it is one of several parts, its siblings, with their real paths as names. Throws WEIGHTS_PATH_REFUSED
 * outside the allowed folders, whether or not something is there, and WEIGHTS_NOT_FOUND inside.
 */
export async function localFiles(
  path: string,
  allowedDirs: readonly string[],
): Promise<readonly WeightsFile[]> {
  return Promise.all(
    splitNames(basename(path)).map((name) => localFile(join(dirname(path), name), allowedDirs)),
  );
}

async function localFile(path: string, allowedDirs: readonly string[]): Promise<WeightsFile> {
  const real = await allowedPath(path, allowedDirs);
  const found = await stat(real);
  if (!found.isFile() || !real.endsWith(".gguf")) throw notFound(path);
  return { name: real, sizeBytes: found.size, sha256: "" };
}

function isBelow(path: string, dir: string): boolean {
  return path.startsWith(dir.endsWith(sep) ? dir : `${dir}${sep}`);
}

/** Runs `read` over an open file. */
export async function withLocalBytes<T>(
  file: WeightsFile,
  read: (source: ByteSource) => Promise<T>,
): Promise<T> {
  const handle = await open(file.name, "r");
  try {
    return await read({
      sizeBytes: file.sizeBytes,
      read: async (offset, length) => {
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset);
        return buffer.subarray(0, bytesRead);
      },
    });
  } finally {
    await handle.close();
  }
}

function refused(): StatusError {
  return new StatusError({
    code: "PERMISSION_DENIED",
    reason: "WEIGHTS_PATH_REFUSED",
    message: "Weights may be read only below folders that the operator allowed (SLIPWAY_WEIGHTS_DIRS).",
  });
}

function notFound(path: string): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "WEIGHTS_NOT_FOUND",
    message: `${path} is no weights file here.`,
  });
}
