/** Why an engine ended: what it said itself, else how the system ended it. */
import { once } from "node:events";
import { z } from "zod";
import type { ReplicaFailure } from "../driver.ts";
import { failureEvent, parseLine, TELLING, toldFailure } from "../engine-words.ts";
import { redact } from "../redact.ts";
import { readTail, TAIL_BYTES } from "./engine-log.ts";
import { exitFile, fileIn, type ReplicaFolder, readJson, readText, specFile } from "./folder.ts";
import { memoryLimitBytes } from "./spawn-engine.ts";
import type { DriverState } from "./state.ts";

/** The process ends before the worker that waits for it hears how. */
const EXIT_WAIT_MS = 1_000;

/** The failure of an engine whose process is gone. */
export async function lastWords(state: DriverState, folder: ReplicaFolder): Promise<ReplicaFailure> {
  const lines = (await readTail(fileIn(folder, "engine.log"), TAIL_BYTES)).trimEnd().split("\n");
  const engineKey = (await readText(fileIn(folder, "engine-key"))) ?? "";
  const told = failureEvent(lines, engineKey) ?? (await programFailure(state, folder, lines, engineKey));
  if (told) return told;
  if (lines.some(isUnclaimed)) {
    return { reason: "ENGINE_FAILED", message: "The engine ended: no worker asked for it.", retryable: true };
  }
  const plain = plainWords(lines);
  const said = plain === "" ? "" : ` It last said: ${redact(plain, engineKey)}`;
  const message = `${await ending(state, folder)}${await memoryHint(folder, lines)}${said}`;
  return { reason: "ENGINE_FAILED", message, retryable: true };
}

async function programFailure(
  state: DriverState,
  folder: ReplicaFolder,
  lines: readonly string[],
  engineKey: string,
): Promise<ReplicaFailure | undefined> {
  const spec = await readJson(folder, "spec.json", specFile);
  const event = state.options.programs?.[spec?.engine ?? ""]?.failureOf(lines);
  return event && toldFailure(event, engineKey);
}

const STACK_FRAME = /^\s*(at |\d+: |#\d+|-{5}|0x)/;

/** Of what was said outside the log's format (a native crash, the shell), the last line that tells something. */
function plainWords(lines: readonly string[]): string {
  const plain = lines.filter(
    (line) => line.trim() !== "" && parseLine(line) === undefined && !STACK_FRAME.test(line),
  );
  return plain.findLast((line) => TELLING.test(line)) ?? plain.at(-1) ?? "";
}

const unclaimedLine = z.object({ event: z.literal("draining"), why: z.literal("unclaimed") });

function isUnclaimed(line: string): boolean {
  return unclaimedLine.safeParse(parseLine(line)).success;
}

async function ending(state: DriverState, folder: ReplicaFolder): Promise<string> {
  const exit = await exitOf(state, folder);
  if (!exit) return "The engine ended while no worker was watching.";
  if (exit.signal === "SIGKILL") {
    return "The engine was ended by SIGKILL; the system does so when memory runs out.";
  }
  if (exit.signal !== null) return `The engine was ended by ${exit.signal}.`;
  return `The engine ended by itself with status ${exit.code}.`;
}

async function exitOf(
  state: DriverState,
  folder: ReplicaFolder,
): Promise<z.infer<typeof exitFile> | undefined> {
  const child = state.children.get(folder.name);
  if (child && child.exitCode === null && child.signalCode === null) {
    await once(child, "exit", { signal: AbortSignal.timeout(EXIT_WAIT_MS) }).catch(() => {});
  }
  if (child && (child.exitCode !== null || child.signalCode !== null)) {
    return { code: child.exitCode, signal: child.signalCode };
  }
  return readJson(folder, "exit.json", exitFile);
}

const OUT_OF_MEMORY = /out of memory|memory_allocation|memory allocation|bad_alloc|failed to allocate/i;

async function memoryHint(folder: ReplicaFolder, lines: readonly string[]): Promise<string> {
  if (!lines.some((line) => OUT_OF_MEMORY.test(line))) return "";
  const spec = await readJson(folder, "spec.json", specFile);
  if (!spec) return "";
  const limitGib = (memoryLimitBytes(spec.memoryBytes) / 2 ** 30).toFixed(1);
  return ` It ran into its memory limit of ${limitGib} GiB.`;
}
