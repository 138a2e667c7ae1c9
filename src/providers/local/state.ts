import type { ChildProcess } from "node:child_process";
import type { ReplicaName } from "../driver.ts";
import type { LocalDriverOptions } from "./options.ts";

/** What one worker's driver holds besides the folders: work under way, which another worker repeats if this one dies. */
export interface DriverState {
  readonly options: LocalDriverOptions;
  /** Weights being fetched and engines about to start, by replica. */
  readonly starts: Map<ReplicaName, Job>;
  /** Removals being pushed to their end. */
  readonly removals: Map<ReplicaName, Job>;
  /** Engines that this process started; their end is recorded here first. */
  readonly children: Map<ReplicaName, ChildProcess>;
  /** The place in the queue of starts: one engine after the other is counted and spawned. */
  startQueue: Promise<void>;
}

export interface Job {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

export function newState(options: LocalDriverOptions): DriverState {
  return {
    options,
    starts: new Map(),
    removals: new Map(),
    children: new Map(),
    startQueue: Promise.resolve(),
  };
}

/** Runs `work` under the name unless it runs already. `work` handles its own errors. */
export function startJob(
  jobs: Map<ReplicaName, Job>,
  name: ReplicaName,
  work: (signal: AbortSignal) => Promise<void>,
): void {
  if (jobs.has(name)) return;
  const abort = new AbortController();
  const done = work(abort.signal).finally(() => jobs.delete(name));
  jobs.set(name, { abort, done });
}

/** Ends all jobs and waits for them. */
export async function stopJobs(jobs: Map<ReplicaName, Job>): Promise<void> {
  const running = [...jobs.values()];
  for (const job of running) job.abort.abort();
  await Promise.all(running.map((job) => job.done));
}
