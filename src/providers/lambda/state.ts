import { noSteps, type Steps } from "../../base/steps.ts";
import type { EngineMeasured, ReplicaName } from "../driver.ts";
import type { LambdaApi } from "./api.ts";
import { lambdaApi } from "./api.ts";
import type { LambdaClient } from "./client.ts";
import type { LambdaHardware } from "./hardware.ts";
import { type Looker, looker } from "./look.ts";
import type { MachineAt } from "./machine-client.ts";
import { type LambdaDriverOptions, type LambdaTimes, TIMES } from "./options.ts";

/** What one worker's driver holds beside Lambda and the machines themselves: nothing that another one could not find out. */
export interface DriverState {
  readonly options: LambdaDriverOptions;
  readonly times: LambdaTimes;
  readonly api: LambdaApi;
  readonly look: Looker;
  readonly steps: Steps;
  /** Machines being brought up to their order, by replica. */
  readonly jobs: Map<ReplicaName, Job>;
  /** Machines whose certificate was proven, by id of the instance. */
  readonly proven: Map<string, MachineAt>;
  /** Answers of Lambda that hold for a while. */
  readonly known: {
    hardware?: { readonly atMs: number; readonly answer: Promise<readonly LambdaHardware[]> };
    noLoginKey?: boolean;
  };
  /** What engines said when they started, by id of the instance. */
  readonly measured: Map<string, EngineMeasured>;
}

export interface Job {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

export function stateOf(options: LambdaDriverOptions, client: LambdaClient): DriverState {
  const plain = lambdaApi(client);
  const look = looker(plain);
  const api = forgetting(plain, look);
  return {
    options,
    times: { ...TIMES, ...options.times },
    api,
    look,
    steps: options.steps ?? noSteps,
    jobs: new Map(),
    proven: new Map(),
    known: {},
    measured: new Map(),
  };
}

/** Every change makes the last look an old one, whatever became of the call. */
function forgetting(api: LambdaApi, { forget }: Looker): LambdaApi {
  return {
    ...api,
    launch: (ctx, order) => api.launch(ctx, order).finally(forget),
    rename: (ctx, id, name) => api.rename(ctx, id, name).finally(forget),
    terminate: (ctx, id) => api.terminate(ctx, id).finally(forget),
  };
}

/** Runs `work` under the name unless it runs already. `work` handles its own errors. */
export function startJob(
  { jobs }: DriverState,
  name: ReplicaName,
  work: (signal: AbortSignal) => Promise<void>,
): void {
  if (jobs.has(name)) return;
  const abort = new AbortController();
  const done = work(abort.signal).finally(() => jobs.delete(name));
  jobs.set(name, { abort, done });
}

export async function stopJobs({ jobs }: DriverState): Promise<void> {
  const running = [...jobs.values()];
  for (const job of running) job.abort.abort();
  await Promise.all(running.map((job) => job.done));
}
