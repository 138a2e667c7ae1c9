/** The engine's log file: bounded, read from its end, kept for a while after its replica is gone. */
import { open, readdir, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { parseLine } from "../engine-words.ts";
import { fileIn, makePrivateDir, type ReplicaFolder } from "./folder.ts";

/** A quiet engine writes kilobytes a day; one that fails in a loop must not fill the disk. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;
const LOG_BYTES_KEPT = 1024 * 1024;
/** Enough for last words and progress. */
export const TAIL_BYTES = 64 * 1024;

/** Moves the end of a log that grew too long aside and empties it; lines written in that moment may be lost. */
export async function boundLog(folder: ReplicaFolder): Promise<void> {
  const path = fileIn(folder, "engine.log");
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  if (size <= LOG_BYTES_MAX) return;
  await writeFile(fileIn(folder, "engine.old.log"), await readTail(path, LOG_BYTES_KEPT), { mode: 0o600 });
  await truncate(path, 0);
}

/** The last bytes of a file, from the beginning of a line; "" when there is none. */
export async function readTail(path: string, bytesMax: number): Promise<string> {
  const handle = await open(path, "r").catch(() => undefined);
  if (!handle) return "";
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - bytesMax);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    const text = buffer.toString("utf8", 0, bytesRead);
    return start === 0 ? text : text.slice(text.indexOf("\n") + 1);
  } finally {
    await handle.close();
  }
}

const eventLine = z.object({ event: z.string(), share: z.number().optional() });

/** How much of the weights the engine has loaded, as it said last. */
export async function loadingShare(folder: ReplicaFolder): Promise<number | undefined> {
  const lines = (await readTail(fileIn(folder, "engine.log"), TAIL_BYTES)).split("\n");
  for (const line of lines.reverse()) {
    const parsed = eventLine.safeParse(parseLine(line));
    if (parsed.success && parsed.data.event === "loading" && parsed.data.share !== undefined) {
      return Math.min(1, Math.max(0, parsed.data.share));
    }
  }
  return undefined;
}

/** Where the log of a removed replica is found. */
export function keptLogPath(home: string, name: string): string {
  return join(home, "replica-logs", `${name}.log`);
}

/** Logs of replicas that are gone: why a deployment failed is asked within days. */
const KEPT_MS = 7 * 24 * 3_600_000;
const KEPT_MAX = 200;

/** Moves a replica's log to where it outlives the replica, and forgets the oldest of such logs. */
export async function keepLog(home: string, folder: ReplicaFolder, now: Date): Promise<void> {
  const dir = join(home, "replica-logs");
  await makePrivateDir(dir);
  await rename(fileIn(folder, "engine.log"), keptLogPath(home, folder.name)).catch(() => {});
  const aged = await Promise.all(
    (await readdir(dir)).map(async (name) => {
      const path = join(dir, name);
      return { path, ms: (await stat(path).catch(() => undefined))?.mtimeMs ?? 0 };
    }),
  );
  aged.sort((a, b) => b.ms - a.ms);
  const going = aged.filter((log, index) => index >= KEPT_MAX || now.getTime() - log.ms > KEPT_MS);
  for (const { path } of going) await rm(path, { force: true });
}
