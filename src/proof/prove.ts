/** Many histories, one after the other, until one of them breaks a promise. */
import { lesserNanos } from "../base/money.ts";
import { findingsOf, type Ground } from "./ground.ts";
import { type HistoryResult, playHistory } from "./history.ts";
import type { Counts } from "./story.ts";
import { PROGRAM, type Subject } from "./subject.ts";

export interface ProveOptions {
  readonly firstSeed: number;
  readonly histories: number;
  /** Stops before the next history once this says so. */
  isOver?(): boolean;
  onHistory?(result: HistoryResult): void;
  /** What is on trial; the program itself unless said. */
  readonly subject?: Subject;
}

export interface Proof extends Counts {
  readonly histories: number;
  /** Most nanos that were ever served beyond what was paid: 0, or the proof has failed. */
  readonly overdraftMaxNanos: bigint;
  /** Longest time of refusals while money was free: with all gateways alive, and after a loss. */
  readonly refusedMaxMs: { readonly alive: number; readonly lost: number };
  /** The history that broke a promise, or what a check of the books found when all of them were over. */
  readonly failed:
    | { readonly seed: number | undefined; readonly what: string; readonly story: readonly string[] }
    | undefined;
}

export async function prove(ground: Ground, options: ProveOptions): Promise<Proof> {
  const results: HistoryResult[] = [];
  for (let count = 0; count < options.histories && !options.isOver?.(); count++) {
    const result = await playHistory(ground, options.subject ?? PROGRAM, options.firstSeed + count);
    results.push(result);
    options.onHistory?.(result);
    if (result.breach) return summary(results, { seed: result.seed, ...result.breach });
  }
  const findings = await findingsOf(ground);
  if (findings.length === 0) return summary(results, undefined);
  const story = findings.map(({ what, count, examples }) => `${count} ${what}: ${examples.join(", ")}`);
  return summary(results, { seed: undefined, what: "the books are not in order", story });
}

function summary(results: readonly HistoryResult[], failed: Proof["failed"]): Proof {
  const sum = (of: (counts: Counts) => number) =>
    results.reduce((total, { counts }) => total + of(counts), 0);
  const longest = (stormy: boolean) =>
    results.reduce(
      (most, one) => ((one.weather === "stormy") === stormy ? Math.max(most, one.refusedMaxMs) : most),
      0,
    );
  return {
    histories: results.length,
    served: sum(({ served }) => served),
    refused: sum(({ refused }) => refused),
    faults: sum(({ faults }) => faults),
    refusedWhileFree: sum(({ refusedWhileFree }) => refusedWhileFree),
    windows: sum(({ windows }) => windows),
    overdraftMaxNanos: results.reduce((most, { overdraftMax }) => -lesserNanos(-most, -overdraftMax), 0n),
    refusedMaxMs: { alive: longest(false), lost: longest(true) },
    failed,
  };
}
