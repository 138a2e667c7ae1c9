/** What benches share: cleaning up without a test runner, a Postgres that syncs, loops and percentiles. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { systemRandom } from "../src/base/random.ts";
import type { Db, DbCtx } from "../src/db/db.ts";
import { startEmbedded } from "../src/db/embedded.ts";
import { migrate } from "../src/db/migrate.ts";
import { APP_ROLE, openDatabase } from "../src/db/pool.ts";
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

const MIGRATIONS = fileURLToPath(new URL("../migrations", import.meta.url));

/** A migrated Postgres that keeps what it commits, as the program's own role and as the owner; gone afterwards. */
export async function withDurablePostgres(
  connectionsMax: number,
  work: (ctx: DbCtx, owner: Db) => Promise<void>,
): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), "slipway-bench-"));
  await chmod(home, 0o755); // the server runs as another user and must be able to enter
  const postgres = await startEmbedded({ home, log: silentLog, clock: systemClock });
  try {
    const url = postgres.url("postgres");
    const owner = openDatabase({ url, connectionsMax: 1, log: silentLog });
    await migrate(owner.db, MIGRATIONS);
    const database = openDatabase({ url, connectionsMax, log: silentLog, role: APP_ROLE });
    await work({ clock: systemClock, random: systemRandom, log: silentLog, db: database.db }, owner.db);
    await database.close();
    await owner.close();
  } finally {
    await postgres.stop();
    await rm(home, { recursive: true, force: true });
  }
}

/** Runs `work` back to back on so many connections; how often a second it was done. */
export async function loop(
  connections: number,
  work: (at: Date) => Promise<unknown>,
  forMs: number,
): Promise<number> {
  const began = performance.now();
  let done = 0;
  const one = async () => {
    while (performance.now() - began < forMs) {
      await work(new Date());
      done++;
    }
  };
  await Promise.all(Array.from({ length: connections }, one));
  return (done / (performance.now() - began)) * 1_000;
}
