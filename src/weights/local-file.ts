/** Weights that lie on this machine: only below folders that the operator allowed, wherever links may point. */
import { open, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { StatusError } from "../base/status.ts";
import type { WeightsFile } from "../engines/engine.ts";
import type { ByteSource } from "./gguf-head.ts";
import { splitNames } from "./pick-files.ts";

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
  const allowed = await Promise.all(allowedDirs.map((dir) => realpath(dir).catch(() => resolve(dir))));
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) {
    const asked = resolve(path);
    throw [...allowedDirs.map((dir) => resolve(dir)), ...allowed].some((dir) => isBelow(asked, dir))
      ? notFound(path)
      : refused();
  }
  if (!allowed.some((dir) => isBelow(real, dir))) throw refused();
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
    message: `${path} is no GGUF file here.`,
  });
}
