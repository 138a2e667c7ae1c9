/**
 * A replica's record is a folder, `<home>/replicas/<name>/`: any worker of this machine reads what another wrote, whatever moment
 * that one died at. Every file is written whole or not at all; none but `engine-key` holds a secret.
 *
 *   spec.json      what was asked for                       weights/       the files under the names that the engine opens
 *   engine-key     what opens the engine's port             engine.pid     who runs, written by that process itself, once
 *   progress.json  what the download does                   address.json   where it listens, written by the engine
 *   failure.json   why it never started                     engine.log     what it says (engine.old.log: what it said before)
 *   exit.json      how it ended, if a worker saw it         removing.json  until when it may finish its streams
 *   up.json        a program was seen up, and its memory     run/           files, model and home of a program
 */
import { chmod, mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { REASONS, StatusError } from "../../base/status.ts";
import type { ReplicaName } from "../driver.ts";

export type FolderFile =
  | "spec.json"
  | "engine-key"
  | "progress.json"
  | "failure.json"
  | "exit.json"
  | "removing.json"
  | "engine.pid"
  | "address.json"
  | "engine.log"
  | "engine.old.log"
  | "up.json"
  | "run"
  | "weights";

export interface ReplicaFolder {
  readonly name: ReplicaName;
  readonly path: string;
}

const NAME = /^sw-[0-9a-f]{8}-[0-9a-f]{16}$/;

/** True for the names that replicaName makes: what else lies in the folder is not ours. */
export function isReplicaName(name: string): boolean {
  return NAME.test(name);
}

/** Throws INTERNAL for a name that is none: it becomes a path. */
export function folderOf(home: string, name: ReplicaName): ReplicaFolder {
  if (isReplicaName(name)) return { name, path: join(home, "replicas", name) };
  throw new StatusError({
    code: "INTERNAL",
    reason: "INTERNAL",
    message: "A replica has a name that none can have.",
  });
}

export function fileIn(folder: ReplicaFolder, name: FolderFile): string {
  return join(folder.path, name);
}

/** Makes a folder that only its owner enters. */
export async function makePrivateDir(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
}

let drafts = 0;

/** Writes a file whole or not at all, for its owner only. Returns false when the folder is gone. */
export async function writeInto(folder: ReplicaFolder, name: FolderFile, content: string): Promise<boolean> {
  const draft = `${fileIn(folder, name)}.${process.pid}.${drafts++}.draft`;
  try {
    await writeFile(draft, content, { mode: 0o600 });
    await rename(draft, fileIn(folder, name));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** The text of a file, or undefined when there is none. */
export async function readText(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
}

export async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

/** A JSON file by its schema; undefined when it is absent or damaged. */
export async function readJson<T>(
  folder: ReplicaFolder,
  name: FolderFile,
  schema: z.ZodType<T>,
): Promise<T | undefined> {
  const text = await readText(fileIn(folder, name));
  if (text === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

export const specFile = z.object({
  installationId: z.string(),
  deploymentId: z.string(),
  region: z.string(),
  servedName: z.string(),
  source: z.string(),
  /** Absent in folders of before there were several. */
  engine: z.string().optional(),
  memoryBytes: z.number(),
  weightsBytes: z.number(),
  createdAt: z.iso.datetime(),
});
export type SpecFile = z.infer<typeof specFile>;

export const progressFile = z.object({
  detail: z.string(),
  doneBytes: z.number(),
  totalBytes: z.number(),
});

export const failureFile = z.object({
  reason: z.enum(REASONS),
  message: z.string(),
  retryable: z.boolean(),
});

const measure = z.number().min(0).optional();
export const measuredFile = z
  .object({ weightsBytes: measure, kvBytes: measure, kvTokens: measure })
  .transform(({ weightsBytes, kvBytes, kvTokens }) => ({
    ...(weightsBytes === undefined ? {} : { weightsBytes }),
    ...(kvBytes === undefined ? {} : { kvBytes }),
    ...(kvTokens === undefined ? {} : { kvTokens }),
  }));

export const exitFile = z.object({ code: z.number().nullable(), signal: z.string().nullable() });
export const removingFile = z.object({ killAt: z.iso.datetime() });
export const addressFile = z.object({ port: z.number().int().min(1).max(65_535) });
