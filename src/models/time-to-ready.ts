/** How long it takes until the first answer: as long as it took before, else guessed from the size. */
import type { DbCtx } from "../db/db.ts";
import type { WeightsFacts } from "../engines/engine.ts";
import type { Place } from "./model.ts";
import { selectStartTimes } from "./store/attempts.ts";

export interface TimeToReady {
  readonly readySeconds: number;
  /** What may have to be fetched; 0 when it was fetched before. */
  readonly downloadBytes: number;
  /** How it was found, for people. */
  readonly message: string;
}

/** Starts that are looked back at. */
const HISTORY_MAX = 5;
/** A guess for an unknown line: 25 MB/s, and 500 MB/s for reading and warming up. */
const DOWNLOAD_BYTES_PER_SECOND = 25_000_000;
const LOAD_BYTES_PER_SECOND = 500_000_000;
/** Engine and first completion, however small the model. */
const START_SECONDS = 3;
/** Having a machine, where it is not this one. */
const MACHINE_SECONDS = 300;

export async function timeToReady(
  ctx: DbCtx,
  input: { readonly path: string; readonly place: Place; readonly facts: WeightsFacts },
): Promise<TimeToReady> {
  const { provider, region, driver } = input.place;
  const times = await selectStartTimes(ctx, { path: input.path, provider, region, limit: HISTORY_MAX });
  const median = [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];
  if (median !== undefined) {
    const message =
      times.length === 1
        ? "As the last start here took."
        : `The median of the last ${times.length} starts here.`;
    return { readySeconds: Math.ceil(median / 1_000), downloadBytes: 0, message };
  }
  const remote = !input.path.startsWith("file:") && !input.path.startsWith("builtin:");
  const downloadBytes = remote ? input.facts.sizeBytes : 0;
  const seconds =
    downloadBytes / DOWNLOAD_BYTES_PER_SECOND +
    input.facts.sizeBytes / LOAD_BYTES_PER_SECOND +
    START_SECONDS +
    (driver === "local" ? 0 : MACHINE_SECONDS);
  return {
    readySeconds: Math.ceil(seconds),
    downloadBytes,
    message: "Guessed from the size: these weights were not started here before.",
  };
}
