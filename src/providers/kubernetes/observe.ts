import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName, ReplicaObservation } from "../driver.ts";
import { type Doing, judge, type Sight, type Verdict } from "./judge.ts";
import { ofReplicas } from "./labels.ts";
import { lastWords, progressOf } from "./last-words.ts";
import { type Glance, look } from "./look.ts";
import { FETCH } from "./pod.ts";
import { killAtOf, pushRemoval } from "./remove.ts";
import { eventSchema, type Pod } from "./seen.ts";
import type { DriverState } from "./state.ts";

/** Names in one selector: URLs have bounds. */
const NAMES_MAX = 50;
/** Logs and events are read for few at once. */
const LOOKS_AT_ONCE = 8;

/** What each replica is doing, as watches tell it; what is not there, or is going, from full lists. Also pushes removals that others left half-done. */
export async function observe(
  ctx: BaseCtx,
  state: DriverState,
  names: readonly ReplicaName[],
): Promise<readonly ReplicaObservation[]> {
  const kept = await orUnseen(ctx, state, state.mirrors.glance(ctx));
  if (!kept) return names.map((name) => ({ name, at: ctx.clock.now(), phase: "unknown" }));
  const [plain, unsure] = [
    names.filter((name) => stays(kept, name)),
    names.filter((name) => !stays(kept, name)),
  ];
  const seen = [...(await observeAll(ctx, state, plain, kept))];
  for (let from = 0; from < unsure.length; from += NAMES_MAX) {
    const some = unsure.slice(from, from + NAMES_MAX);
    const at = ctx.clock.now();
    const sight = await orUnseen(ctx, state, look(ctx, state.api, ofReplicas(some)));
    if (sight) seen.push(...(await observeAll(ctx, state, some, { at, sight })));
    else seen.push(...some.map((name) => ({ name, at, phase: "unknown" as const })));
  }
  return seen;
}

/** A watch may say that a replica is there and how it does. That it is not there, or how far it is gone, only a list does. */
function stays({ sight }: Glance, name: ReplicaName): boolean {
  const { secret, workload } = sight(name);
  return secret !== undefined && workload !== undefined && killAtOf(sight(name)) === undefined;
}

async function orUnseen<T>(ctx: BaseCtx, state: DriverState, looked: Promise<T>): Promise<T | undefined> {
  return looked.catch((error: unknown) => {
    if (ctx.signal?.aborted) throw error;
    ctx.log.warn({ err: error, region: state.options.region }, "a cluster could not be looked at");
    return undefined;
  });
}

async function observeAll(
  ctx: BaseCtx,
  state: DriverState,
  names: readonly ReplicaName[],
  { at, sight }: Glance,
): Promise<readonly ReplicaObservation[]> {
  const seen: ReplicaObservation[] = [];
  for (let from = 0; from < names.length; from += LOOKS_AT_ONCE) {
    const some = names.slice(from, from + LOOKS_AT_ONCE).map(async (name) => ({
      name,
      at,
      ...(await doingOf(ctx, state, name, sight(name)).catch((error: unknown): Doing => {
        if (ctx.signal?.aborted) throw error;
        ctx.log.warn({ err: error, replica: name }, "a replica could not be observed");
        return { phase: "unknown" };
      })),
    }));
    seen.push(...(await Promise.all(some)));
  }
  return seen;
}

async function doingOf(ctx: BaseCtx, state: DriverState, name: ReplicaName, sight: Sight): Promise<Doing> {
  const killAt = killAtOf(sight);
  if (killAt !== undefined && (await pushRemoval(ctx, state, name, sight, killAt)) === "gone") {
    return { phase: "absent" };
  }
  return complete(ctx, state, name, judge(sight));
}

async function complete(
  ctx: BaseCtx,
  state: DriverState,
  name: ReplicaName,
  verdict: Verdict,
): Promise<Doing> {
  const { doing, ended, eventsOf, fetching } = verdict;
  if (ended && doing.failure) {
    return { ...doing, failure: await lastWords(ctx, state, name, ended, doing.failure) };
  }
  if (fetching) {
    const progress = await progressOf(ctx, state, fetching.metadata.name, FETCH).catch(() => undefined);
    return progress ? { ...doing, progress } : doing;
  }
  const warning = eventsOf && (await warningOf(ctx, state, eventsOf).catch(() => undefined));
  return warning ? { ...doing, detail: `${doing.detail}: ${warning}` } : doing;
}

/** The kubelet's newest complaint about a pod: a volume that can't be mounted, a sandbox that can't be made. */
async function warningOf(ctx: BaseCtx, { api }: DriverState, pod: Pod): Promise<string | undefined> {
  const fields = `involvedObject.uid=${pod.metadata.uid},type=Warning`;
  const events = await api.list(ctx, { group: "", resource: "events", schema: eventSchema, fields });
  const last = events.filter((event) => event.reason !== "FailedScheduling").at(-1);
  return last && `${last.reason}, ${last.message}`.slice(0, 300);
}
