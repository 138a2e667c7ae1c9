import { sql } from "kysely";
import type { DbCtx } from "../db/db.ts";

/** Work that some worker does every so often. It must be safe to run twice, and to be cut off anywhere. */
export interface PeriodicJob {
  readonly name: string;
  readonly everyMs: number;
  run(ctx: DbCtx): Promise<void>;
}

/** How often a worker looks for due jobs; none is due more often than this. */
const TICK_MS = 1_000;
/** Public sentence of a failure kept for `doctor`; the whole error is in the log. */
const ERROR_LENGTH_MAX = 500;

/** Runs the jobs until the signal aborts. Over all workers of a database each job runs once a period. */
export async function runPeriodicJobs(
  ctx: DbCtx,
  jobs: readonly PeriodicJob[],
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await runDueJobs(ctx, jobs).catch((error: unknown) =>
      ctx.log.warn({ err: error }, "periodic jobs failed"),
    );
    await ctx.clock.sleep(TICK_MS, signal).catch(() => {});
  }
}

/** One look: runs each job whose time has come and that this worker claims first. */
export async function runDueJobs(ctx: DbCtx, jobs: readonly PeriodicJob[]): Promise<void> {
  for (const job of jobs) {
    if (await claim(ctx, job)) await runOne(ctx, job);
  }
}

async function claim(ctx: DbCtx, job: PeriodicJob): Promise<boolean> {
  const now = ctx.clock.now();
  const next = new Date(now.getTime() + job.everyMs);
  const { rows } = await sql`
    insert into periodic_job (name, due_at, last_started_at) values (${job.name}, ${next}, ${now})
    on conflict (name) do update set due_at = ${next}, last_started_at = ${now}
    where periodic_job.due_at <= ${now}
    returning name`.execute(ctx.db);
  return rows.length > 0;
}

async function runOne(ctx: DbCtx, job: PeriodicJob): Promise<void> {
  let problem: string | null = null;
  try {
    await job.run(ctx);
  } catch (error) {
    ctx.log.error({ err: error, job: job.name }, "periodic job failed");
    problem = String(error instanceof Error ? error.message : error).slice(0, ERROR_LENGTH_MAX);
  }
  await sql`update periodic_job set last_finished_at = ${ctx.clock.now()}, last_error = ${problem}
    where name = ${job.name}`.execute(ctx.db);
}
