/** From what the cluster shows of a replica and the cloud of its nodes to what it is doing, in words. Pure. */
import type { Reason } from "../../base/status.ts";
import type { ReplicaObservation } from "../driver.ts";
import { isRetryable } from "../retryable.ts";
import type { NodeGroup, Trouble } from "./node-group.ts";

export interface Sight {
  readonly region: string;
  /** What the cluster shows. */
  readonly seen: ReplicaObservation;
  /** "unseen": the cloud could not be looked at; undefined: it has none. */
  readonly group: NodeGroup | undefined | "unseen";
  /** When nodes were promised; undefined: they were not, or it was not looked up. */
  readonly askedAt: Date | undefined;
  /** Said against the group besides its own events. */
  readonly problems: readonly Trouble[];
  readonly now: Date;
  readonly nodesMinutesMax: number;
}

const MINUTE_MS = 60_000;
/** A quota that is used up may be that of a group that is just going. */
const QUOTA_AFTER_MS = MINUTE_MS;
/** Machines that lack now may be given back by somebody in a moment; later another place is the better wait. */
const NO_MACHINE_AFTER_MS = 3 * MINUTE_MS;

export function judge(sight: Sight): ReplicaObservation {
  const { seen, group } = sight;
  switch (seen.phase) {
    case "absent":
      if (group === undefined) return seen;
      if (group === "unseen") return { ...seen, phase: "unknown", detail: "Nebius could not be looked at" };
      return { ...seen, phase: "up", detail: "its machine is being given back" };
    case "provisioning":
      if (group === "unseen") return seen;
      return group ? waiting(sight, group) : without(sight);
    default:
      return seen;
  }
}

/** A group that was promised a moment ago need not be in every list yet. */
const APPEARS_WITHIN_MS = 20_000;

function without(sight: Sight): ReplicaObservation {
  const { region, seen, askedAt, now } = sight;
  if (askedAt && now.getTime() - askedAt.getTime() >= APPEARS_WITHIN_MS) {
    return gone(
      sight,
      "PLACE_UNAVAILABLE",
      `Its machine in region ${region} is gone: the node group was taken away.`,
    );
  }
  return { ...seen, detail: "its machine is being asked for" };
}

/** Whether something may be said against it that its own events don't tell. */
export function needsProblems({ seen, group, now }: Pick<Sight, "seen" | "group" | "now">): boolean {
  return seen.phase === "provisioning" && isLate(group, now);
}

function isLate(group: Sight["group"], now: Date): boolean {
  if (group === undefined || group === "unseen" || group.going) return false;
  return group.readyNodes < group.wantedNodes && now.getTime() - group.createdAt.getTime() >= QUOTA_AFTER_MS;
}

/** The cloud has promised nodes. What it promised may never come, so the wait has an end of ours. */
function waiting(sight: Sight, group: NodeGroup): ReplicaObservation {
  const { region, seen, now, nodesMinutesMax } = sight;
  if (group.going) return gone(sight, "PLACE_UNAVAILABLE", "Its node group was taken away by somebody else.");
  if (group.wantedNodes > 0 && group.readyNodes >= group.wantedNodes) return seen;
  const troubles = [...group.troubles, ...sight.problems];
  const ageMs = now.getTime() - group.createdAt.getTime();
  const quota = troubles.find((one) => one.kind === "quota");
  if (quota && ageMs >= QUOTA_AFTER_MS)
    return short(sight, `Nebius allows no more machines in region ${region}.`, quota);
  const machine = troubles.find((one) => one.kind === "no-machine");
  if (machine && ageMs >= NO_MACHINE_AFTER_MS)
    return short(sight, `Nebius has no machine left in region ${region}.`, machine);
  if (ageMs >= nodesMinutesMax * MINUTE_MS) {
    const what = `Nebius promised a machine in region ${region} and had none within ${nodesMinutesMax} minutes.`;
    return short(sight, what, troubles.at(-1));
  }
  const said = troubles.at(-1);
  const words = said ? `; it says: ${said.message}` : "";
  const detail = `Nebius has ${group.readyNodes} of ${group.wantedNodes} nodes ready in region ${region}${words}`;
  return { ...seen, detail };
}

function short(sight: Sight, what: string, trouble: Trouble | undefined): ReplicaObservation {
  return gone(sight, "CAPACITY_SHORT", trouble ? `${what} It says: ${trouble.message}` : what);
}

function gone({ seen }: Sight, reason: Reason, message: string): ReplicaObservation {
  const { name, at } = seen;
  return { name, at, phase: "gone", failure: { reason, message, retryable: isRetryable(reason) } };
}
