import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName } from "../driver.ts";
import type { Sight } from "./judge.ts";
import { KILL_AT, ofReplicas } from "./labels.ts";
import { look } from "./look.ts";
import { LWS_GROUP } from "./manifests.ts";
import { isNotFound } from "./refusal.ts";
import type { DriverState } from "./state.ts";

/** Marks the replica as going, then begins; whoever looks next goes on. A second order may only be sooner. */
export async function remove(
  ctx: BaseCtx,
  state: DriverState,
  name: ReplicaName,
  { graceMs }: { readonly graceMs: number },
): Promise<void> {
  const seen = (await look(ctx, state.api, ofReplicas([name])))(name);
  if (!seen.secret && !seen.workload && seen.pods.length === 0) return;
  const asked = ctx.clock.now().getTime() + graceMs;
  const before = killAtOf(seen);
  const killAt = before === undefined ? asked : Math.min(before, asked);
  if (seen.secret && killAt !== before) {
    const mark = { [KILL_AT]: new Date(killAt).toISOString() };
    const isMarked = await state.api.annotate(ctx, "secrets", name, mark).then(() => true, unlessGone);
    if (isMarked) state.steps.reach("kubernetes.removing");
  }
  await pushRemoval(ctx, state, name, seen, killAt);
}

/** When the replica is to end; undefined when it is not going. */
export function killAtOf({ secret }: Sight): number | undefined {
  const text = secret?.metadata.annotations[KILL_AT];
  return text === undefined ? undefined : Date.parse(text);
}

/**
 * One step onward. The workload goes first, and with it the pods in their own grace; a pod that is going already gets a shorter one
 * where less is left. Earlier it would only be replaced. The Secret, which names the replica, goes last.
 */
export async function pushRemoval(
  ctx: BaseCtx,
  { api }: DriverState,
  name: ReplicaName,
  seen: Sight,
  killAt: number,
): Promise<"going" | "gone"> {
  const { workload, pods, secret } = seen;
  if (workload && !workload.metadata.deletionTimestamp) {
    await api.remove(ctx, "apps", "deployments", name);
    if (await api.has(ctx, LWS_GROUP)) await api.remove(ctx, LWS_GROUP, "leaderworkersets", name);
  }
  for (const pod of pods) {
    const ends = pod.metadata.deletionTimestamp?.getTime();
    const orphan = !workload;
    if (ends === undefined ? !orphan : ends <= killAt + SLACK_MS) continue;
    await api.remove(ctx, "", "pods", pod.metadata.name, secondsUntil(killAt, ctx.clock.now().getTime()));
  }
  if (workload || pods.length > 0) return "going";
  if (secret) await api.remove(ctx, "", "secrets", name);
  return "gone";
}

/** Graces are whole seconds. */
const SLACK_MS = 1_500;

/** Never 0: that would take the pod off the books while its engine may still run. */
function secondsUntil(killAt: number, now: number): number {
  return Math.max(1, Math.ceil((killAt - now) / 1_000));
}

function unlessGone(error: unknown): false {
  if (isNotFound(error)) return false;
  throw error;
}
