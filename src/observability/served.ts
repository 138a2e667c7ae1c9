/** How requests become sums, and sums a series: pure. */
import { addCounts, bucketOf, type Counts, type Quantiles, quantilesOf } from "./buckets.ts";

/** What a counted request says of how it was served. */
export interface ServedRequest {
  readonly modelId: string;
  readonly promptTokens: number;
  /** Part of promptTokens. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly outcome: "ok" | "client_gone" | "upstream_error" | "rejected";
  readonly startedAt: Date;
  readonly endedAt: Date;
  /** Null where the answer was not streamed. */
  readonly ttftMs: number | null;
}

export type Grain = "minute" | "hour";
export const GRAIN_MS: Readonly<Record<Grain, number>> = { minute: 60_000, hour: 3_600_000 };

export interface Sum {
  readonly requests: number;
  readonly failed: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly ttft: Counts;
  readonly itl: Counts;
}

export interface ServedSum extends Sum {
  readonly modelId: string;
  readonly grain: Grain;
  readonly startsAt: Date;
}

const NONE: Counts = new Map();
export const NOTHING: Sum = {
  requests: 0,
  failed: 0,
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  ttft: NONE,
  itl: NONE,
};

/** A batch of requests as the few rows that it adds to; a request belongs to the minute and the hour in which it ended. */
export function sumsOf(requests: readonly ServedRequest[]): readonly ServedSum[] {
  const keyed = requests.flatMap((request) =>
    (["minute", "hour"] as const).map((grain) => ({
      request,
      grain,
      startsAt: startOf(grain, request.endedAt),
    })),
  );
  const groups = Map.groupBy(keyed, ({ request, grain, startsAt }) =>
    JSON.stringify([request.modelId.toLowerCase(), grain, startsAt]),
  );
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const { grain, startsAt } = first;
    const modelId = first.request.modelId.toLowerCase();
    return [{ modelId, grain, startsAt, ...total(group.map(({ request }) => sumOf(request))) }];
  });
}

export function startOf(grain: Grain, at: Date): Date {
  return new Date(Math.floor(at.getTime() / GRAIN_MS[grain]) * GRAIN_MS[grain]);
}

function sumOf(request: ServedRequest): Sum {
  const { promptTokens, cachedTokens, completionTokens, ttftMs, outcome } = request;
  const betweenMs = interTokenMs(request);
  return {
    requests: 1,
    failed: outcome === "upstream_error" ? 1 : 0,
    promptTokens,
    cachedTokens,
    completionTokens,
    ttft: ttftMs === null ? NONE : new Map([[bucketOf(ttftMs), 1]]),
    itl: betweenMs === undefined ? NONE : new Map([[bucketOf(betweenMs), 1]]),
  };
}

/** The mean time between a streamed answer's tokens; one token has none. */
function interTokenMs({ ttftMs, completionTokens, startedAt, endedAt }: ServedRequest): number | undefined {
  if (ttftMs === null || completionTokens < 2) return undefined;
  const restMs = endedAt.getTime() - startedAt.getTime() - ttftMs;
  return Math.max(0, restMs) / (completionTokens - 1);
}

export function total(sums: readonly Sum[]): Sum {
  const add = (of: (sum: Sum) => number) => sums.reduce((all, sum) => all + of(sum), 0);
  return {
    requests: add((sum) => sum.requests),
    failed: add((sum) => sum.failed),
    promptTokens: add((sum) => sum.promptTokens),
    cachedTokens: add((sum) => sum.cachedTokens),
    completionTokens: add((sum) => sum.completionTokens),
    ttft: addCounts(sums.map((sum) => sum.ttft)),
    itl: addCounts(sums.map((sum) => sum.itl)),
  };
}

export interface Range {
  /** How it is stored. */
  readonly grain: Grain;
  readonly stepMs: number;
  readonly steps: number;
}

export const RANGES = {
  hour: { grain: "minute", stepMs: 60_000, steps: 60 },
  day: { grain: "minute", stepMs: 15 * 60_000, steps: 96 },
  week: { grain: "hour", stepMs: 3_600_000, steps: 168 },
} as const satisfies Readonly<Record<string, Range>>;

export interface Point {
  readonly startsAt: Date;
  readonly sum: Sum;
}

/** Start of the first step of the range whose last step is going on at `now`. */
export function startOfRange({ stepMs, steps }: Range, now: Date): Date {
  return new Date((Math.floor(now.getTime() / stepMs) + 1 - steps) * stepMs);
}

/** Every step of the range, also those without requests. */
export function pointsOf(range: Range, now: Date, rows: readonly ServedSum[]): readonly Point[] {
  const start = startOfRange(range, now).getTime();
  const byStep = Map.groupBy(rows, (row) => Math.floor((row.startsAt.getTime() - start) / range.stepMs));
  return Array.from({ length: range.steps }, (_, step) => ({
    startsAt: new Date(start + step * range.stepMs),
    sum: total(byStep.get(step) ?? []),
  }));
}

/** Undefined where no prompt was read. */
export function hitRateOf({ cachedTokens, promptTokens }: Sum): number | undefined {
  return promptTokens === 0 ? undefined : cachedTokens / promptTokens;
}

export function latenciesOf(sum: Sum): {
  readonly ttft: Quantiles | undefined;
  readonly itl: Quantiles | undefined;
} {
  return { ttft: quantilesOf(sum.ttft), itl: quantilesOf(sum.itl) };
}
