/** What benches share: cleaning up without a test runner, and percentiles. */
import type { Cleanup } from "../test/support/cleanup.ts";
import { stopTestCluster } from "../test/support/postgres.ts";

/** Runs `work` with a place to register clean-up, and cleans up in reverse order, also after a failure. */
export async function withCleanup(work: (t: Cleanup) => Promise<void>): Promise<void> {
  const undo: (() => Promise<void> | void)[] = [];
  try {
    await work({ after: (step) => void undo.push(step) });
  } finally {
    for (const step of undo.reverse()) await step();
    await stopTestCluster();
  }
}

export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
