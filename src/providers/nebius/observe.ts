import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName, ReplicaObservation } from "../driver.ts";
import { judge, needsProblems, type Sight } from "./judge.ts";
import type { NebiusState } from "./state.ts";

/** Operations are read for few groups at once. */
const LOOKS_AT_ONCE = 8;

/** What each replica is doing. Also gives back the nodes of replicas that are gone, whoever began that. */
export async function observe(
  ctx: BaseCtx,
  state: NebiusState,
  names: readonly ReplicaName[],
): Promise<readonly ReplicaObservation[]> {
  const seen = await state.kube.observe(ctx, names);
  // Engines that answer have their nodes: the cloud is asked for the others only.
  if (!seen.some(isOpen)) return seen;
  const groups = await groupsOf(ctx, state);
  const told: ReplicaObservation[] = [];
  for (let from = 0; from < seen.length; from += LOOKS_AT_ONCE) {
    const some = seen.slice(from, from + LOOKS_AT_ONCE);
    told.push(
      ...(await Promise.all(
        some.map((one) => complete(ctx, state, one, groups ? groups.get(one.name) : "unseen")),
      )),
    );
  }
  return told;
}

function isOpen({ phase }: ReplicaObservation): boolean {
  return phase === "absent" || phase === "provisioning";
}

async function groupsOf(ctx: BaseCtx, { api, options }: NebiusState) {
  try {
    return new Map((await api.groups(ctx)).map((group) => [group.name, group]));
  } catch (error) {
    if (ctx.signal?.aborted) throw error;
    ctx.log.warn({ err: error, region: options.region }, "a cloud could not be looked at");
    return undefined;
  }
}

async function complete(
  ctx: BaseCtx,
  state: NebiusState,
  seen: ReplicaObservation,
  group: Sight["group"],
): Promise<ReplicaObservation> {
  const { api, options } = state;
  const { region, config } = options;
  const now = ctx.clock.now();
  if (seen.phase === "absent" && group !== undefined && group !== "unseen") {
    await giveBack(ctx, state, seen.name).catch(toldOnly(ctx, seen.name));
  }
  const late = group !== undefined && group !== "unseen" && needsProblems({ seen, group, now });
  const problems = late ? await api.problems(ctx, group.id).catch(() => []) : [];
  const askedAt = await promisedAt(ctx, state, seen, group);
  return judge({ region, seen, group, askedAt, problems, now, nodesMinutesMax: config.nodesMinutesMax });
}

/** For a replica that waits for nodes which the list does not show: when they were promised, if they are really not there. */
async function promisedAt(
  ctx: BaseCtx,
  { api, kube }: NebiusState,
  { name, phase }: ReplicaObservation,
  group: Sight["group"],
): Promise<Date | undefined> {
  if (phase !== "provisioning" || group !== undefined) return undefined;
  try {
    const { nodesAskedAt } = await kube.standing(ctx, name);
    return nodesAskedAt && (await api.group(ctx, name)) === undefined ? nodesAskedAt : undefined;
  } catch (error) {
    if (ctx.signal?.aborted) throw error;
    return undefined;
  }
}

/**
 * Takes a group away whose replica is not in the cluster. The group was seen, so its replica was in the cluster before; one that
 * is not there now was removed. (A look at the cluster that is older than the group would say the same of one that is being made.)
 */
async function giveBack(ctx: BaseCtx, { api, kube }: NebiusState, name: ReplicaName): Promise<void> {
  if ((await kube.standing(ctx, name)).is !== "absent") return;
  const group = await api.group(ctx, name);
  if (group && !group.going) await api.remove(ctx, group);
}

function toldOnly(ctx: BaseCtx, replica: ReplicaName): (error: unknown) => void {
  return (error) => {
    if (ctx.signal?.aborted) throw error;
    ctx.log.warn({ err: error, replica }, "the nodes of a replica could not be given back yet");
  };
}
