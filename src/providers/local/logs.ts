import { open, stat } from "node:fs/promises";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { ReplicaName } from "../driver.ts";
import { redact } from "../redact.ts";
import { keptLogPath, readTail } from "./engine-log.ts";
import { exists, fileIn, folderOf, readText } from "./folder.ts";
import type { DriverState } from "./state.ts";

/** As much as a tail reads back, and as one look at a growing log takes. */
const READ_BYTES_MAX = 1024 * 1024;
const TAIL_LINES_MAX = 10_000;
const FOLLOW_EVERY_MS = 250;

/**
 * The last lines of the engine's log, then, with follow, those that are added until the replica is gone or the signal aborts. Of
 * a replica that is gone, the log that was kept. Throws LOGS_UNAVAILABLE when there is none.
 */
export async function* logs(
  ctx: BaseCtx,
  state: DriverState,
  name: ReplicaName,
  options: { readonly tailLines: number; readonly follow: boolean },
): AsyncIterable<string> {
  const folder = folderOf(state.options.home, name);
  const path = fileIn(folder, "engine.log");
  const engineKey = (await readText(fileIn(folder, "engine-key"))) ?? "";
  const isLive = await exists(folder.path);
  const kept = keptLogPath(state.options.home, name);
  if (!isLive && !(await exists(kept))) throw unavailable(name);
  const from = isLive ? ((await stat(path).catch(() => undefined))?.size ?? 0) : 0;
  const tail = isLive
    ? (await readTail(fileIn(folder, "engine.old.log"), READ_BYTES_MAX)) + (await readUpTo(path, from))
    : await readTail(kept, READ_BYTES_MAX);
  const wanted = Math.min(Math.max(0, options.tailLines), TAIL_LINES_MAX);
  const lines = linesOf(tail);
  for (const line of lines.slice(lines.length - Math.min(wanted, lines.length)))
    yield redact(line, engineKey);
  if (!isLive || !options.follow) return;
  for await (const line of follow(ctx, { path, kept, folderPath: folder.path, from })) {
    yield redact(line, engineKey);
  }
}

async function* follow(
  ctx: BaseCtx,
  log: { readonly path: string; readonly kept: string; readonly folderPath: string; readonly from: number },
): AsyncIterable<string> {
  let offset = log.from;
  while (!ctx.signal?.aborted) {
    const isLast = !(await exists(log.folderPath));
    const path = isLast ? log.kept : log.path;
    const size = (await stat(path).catch(() => undefined))?.size ?? offset;
    if (size < offset) offset = 0; // the log was bounded meanwhile
    const bytes = await readRange(path, offset, Math.min(size - offset, READ_BYTES_MAX));
    const whole = wholeLines(bytes);
    offset += whole.length;
    yield* linesOf(whole.toString("utf8"));
    if (whole.length > 0) continue;
    if (isLast) return;
    await ctx.clock.sleep(FOLLOW_EVERY_MS, ctx.signal).catch(() => {});
  }
}

/** Up to the last line's end; a line longer than one read is cut. */
function wholeLines(bytes: Buffer): Buffer {
  if (bytes.length === READ_BYTES_MAX && !bytes.includes(10)) return bytes;
  return bytes.subarray(0, bytes.lastIndexOf(10) + 1);
}

async function readUpTo(path: string, size: number): Promise<string> {
  const start = Math.max(0, size - READ_BYTES_MAX);
  const text = (await readRange(path, start, size - start)).toString("utf8");
  return start === 0 ? text : text.slice(text.indexOf("\n") + 1);
}

async function readRange(path: string, offset: number, length: number): Promise<Buffer> {
  const none = Buffer.alloc(0);
  const handle = length > 0 ? await open(path, "r").catch(() => undefined) : undefined;
  if (!handle) return none;
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function unavailable(name: ReplicaName): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "LOGS_UNAVAILABLE",
    message: `There is no log of replica ${name}: it never started here, or its log was kept for its time and removed.`,
  });
}
