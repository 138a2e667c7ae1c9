/** How long it takes until the first answer: as starts took before at this place on this hardware, else guessed from the size. */
import type { DbCtx } from "../db/db.ts";
import type { WeightsFacts } from "../engines/engine.ts";
import type { Place } from "./model.ts";
import { selectStartTimes } from "./store/attempts.ts";

export interface TimeToReady {
  /** Half of the starts that it is made from were quicker. */
  readonly readySeconds: number;
  /** 95 of 100 were; as the half where there is nothing to tell it from. */
  readonly readySecondsP95: number;
  /** Starts that it is made from; 0 for a guess. */
  readonly starts: number;
  /** What may have to be fetched; 0 when it was fetched before. */
  readonly downloadBytes: number;
  /** How it was found, for people. */
  readonly message: string;
}

/** Starts that are looked back at: enough for a p95, and all of this year. */
const HISTORY_MAX = 100;
/** Fewer starts of other weights say nothing about these. */
const LIKE_MIN = 3;
/** Weights of one class differ by at most this in size. */
const CLASS_FACTOR = 4;
/** A guess for an unknown line: 25 MB/s, and 500 MB/s for reading and warming up. */
const DOWNLOAD_BYTES_PER_SECOND = 25_000_000;
const LOAD_BYTES_PER_SECOND = 500_000_000;
/** Engine and first completion, however small the model. */
const START_SECONDS = 3;
/** Having a machine, where it is not this one. */
const MACHINE_SECONDS = 300;

/** From starts of the same weights on the same hardware there; from those of weights of like size; or guessed. */
export async function timeToReady(
  ctx: DbCtx,
  input: { readonly path: string; readonly place: Place; readonly facts: WeightsFacts },
): Promise<TimeToReady> {
  const { path, place, facts } = input;
  const here = { provider: place.provider, region: place.region, gpuType: place.gpuType };
  const same = await selectStartTimes(ctx, { ...here, path, limit: HISTORY_MAX });
  if (same.length > 0) return fromStarts(same, 0, "of these weights");
  const bytes = classOf(facts.sizeBytes);
  const like = await selectStartTimes(ctx, { ...here, bytes, limit: HISTORY_MAX });
  const guess = guessed(input);
  return like.length >= LIKE_MIN ? fromStarts(like, guess.downloadBytes, "of weights of like size") : guess;
}

/** The sizes that count as like one. */
function classOf(sizeBytes: number): { readonly min: number; readonly max: number } {
  const root = Math.sqrt(CLASS_FACTOR);
  return { min: Math.floor(sizeBytes / root), max: Math.ceil(sizeBytes * root) };
}

function fromStarts(times: readonly number[], downloadBytes: number, what: string): TimeToReady {
  const sorted = [...times].sort((a, b) => a - b);
  const seconds = (share: number) => Math.ceil((sorted[quantile(sorted.length, share)] ?? 0) / 1_000);
  const [half, most] = [seconds(0.5), seconds(0.95)];
  const message =
    sorted.length === 1
      ? `As the last start ${what} here took.`
      : `Of the last ${sorted.length} starts ${what} here, half took at most ${half} s and 95 of 100 at most ${most} s.`;
  return { readySeconds: half, readySecondsP95: most, starts: sorted.length, downloadBytes, message };
}

/** Place of the smallest value that this share of all does not exceed. */
function quantile(count: number, share: number): number {
  return Math.max(0, Math.ceil(count * share) - 1);
}

function guessed({ path, place, facts }: Parameters<typeof timeToReady>[1]): TimeToReady {
  const remote = !path.startsWith("file:") && !path.startsWith("builtin:");
  const downloadBytes = remote ? facts.sizeBytes : 0;
  const seconds =
    downloadBytes / DOWNLOAD_BYTES_PER_SECOND +
    facts.sizeBytes / LOAD_BYTES_PER_SECOND +
    START_SECONDS +
    (place.driver === "local" ? 0 : MACHINE_SECONDS);
  const readySeconds = Math.ceil(seconds);
  const message = "Guessed from the size: nothing like it was started here before.";
  return { readySeconds, readySecondsP95: readySeconds, starts: 0, downloadBytes, message };
}
