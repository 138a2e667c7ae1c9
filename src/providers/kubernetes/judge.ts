/** From what the cluster shows of a replica to what it is doing, in words. Pure. */
import type { Reason } from "../../base/status.ts";
import type { ReplicaObservation } from "../driver.ts";
import { isRetryable } from "../retryable.ts";
import { ENGINE_PORT } from "./engine-container.ts";
import { KILL_AT, MADE_AT, NODE_PIN, WANTS } from "./labels.ts";
import { ENGINE, FETCH } from "./pod.ts";
import type { ContainerStatus, Meta, Pod, Workload } from "./seen.ts";

export interface Sight {
  readonly region: string;
  /** What is seen was so then, or later. */
  readonly at: Date;
  readonly secret: Meta | undefined;
  readonly workload: Workload | undefined;
  readonly pods: readonly Pod[];
}

export type Doing = Omit<ReplicaObservation, "name" | "at">;

/** What must still be looked up to complete the answer. */
export interface Verdict {
  readonly doing: Doing;
  /** A container that ended: its log tells why. */
  readonly ended?: Ended;
  /** A pod that waits for its node: its events tell why. */
  readonly eventsOf?: Pod;
  /** A pod that fetches weights: the last line of that log tells how far. */
  readonly fetching?: Pod;
}

export interface Ended {
  readonly pod: Pod;
  readonly container: string;
  readonly status: ContainerStatus;
}

export function judge(sight: Sight): Verdict {
  const { secret, workload, pods } = sight;
  if (!secret && !workload && pods.length === 0) return { doing: { phase: "absent" } };
  const killAt = secret?.metadata.annotations[KILL_AT];
  if (killAt !== undefined)
    return { doing: { phase: "up", detail: `finishing its streams until ${killAt}` } };
  const pod = newest(pods);
  if (pod) return judgePod(sight, pod);
  if (!workload && wasWhole(sight)) {
    const message = `The replica's workload in region ${sight.region} is gone: somebody deleted it.`;
    return { doing: gone("PLACE_UNAVAILABLE", message) };
  }
  if (!workload) return { doing: { phase: "provisioning", detail: "waiting for a worker" } };
  return { doing: withoutPod(sight.region, workload) };
}

/** Lists of one look are not of one moment, and clocks of workers differ by less. */
const MADE_MARGIN_MS = 5_000;

function wasWhole({ secret, at }: Sight): boolean {
  const madeAt = secret?.metadata.annotations[MADE_AT];
  return madeAt !== undefined && at.getTime() - Date.parse(madeAt) >= MADE_MARGIN_MS;
}

/** Going ones last: a deployment that lost its pod has another. A group's leader speaks for it. */
export function newest(pods: readonly Pod[]): Pod | undefined {
  const leaders = pods.filter((pod) => (pod.metadata.labels[WORKER_INDEX] ?? "0") === "0");
  const rank = (pod: Pod) =>
    pod.metadata.creationTimestamp.getTime() -
    (pod.metadata.deletionTimestamp ? Number.MAX_SAFE_INTEGER / 2 : 0);
  return leaders.toSorted((a, b) => rank(b) - rank(a))[0];
}

const WORKER_INDEX = "leaderworkerset.sigs.k8s.io/worker-index";

function withoutPod(region: string, workload: Workload): Doing {
  const failed = workload.status.conditions.find(
    (one) => one.type === "ReplicaFailure" && one.status === "True",
  );
  if (!failed) return { phase: "provisioning", detail: "the cluster makes its pod" };
  const quota = /exceeded quota/.test(failed.message);
  return gone(
    quota ? "CAPACITY_SHORT" : "CONFIG_INVALID",
    `Region ${region} refuses the pod: ${failed.message.slice(0, 400)}`,
  );
}

function judgePod(sight: Sight, pod: Pod): Verdict {
  const { status } = pod;
  const ended = endedIn(pod);
  if (ended) return { doing: gone("ENGINE_FAILED", endingOf(ended)), ended };
  if (status.phase === "Failed") {
    const why = [status.reason, status.message].filter((word) => word !== "").join(": ");
    const message = `The cluster ended the pod${why === "" ? "." : ` (${why.slice(0, 300)}).`}`;
    return { doing: gone("ENGINE_FAILED", message) };
  }
  if (status.reason === "NodeLost" || readyReason(pod) === "NodeStatusUnknown") {
    return {
      doing: { phase: "unknown", detail: `the node ${pod.spec.nodeName} does not answer the cluster` },
    };
  }
  const scheduled = status.conditions.find((one) => one.type === "PodScheduled");
  if (pod.spec.nodeName === "") {
    return {
      doing: { phase: "provisioning", detail: waitsFor(sight.region, pod, scheduled?.message ?? "") },
    };
  }
  return onNode(pod);
}

function onNode(pod: Pod): Verdict {
  const fetch = pod.status.initContainerStatuses.find((one) => one.name === FETCH);
  if (fetch?.state.running)
    return { doing: { phase: "loading", detail: "downloading weights" }, fetching: pod };
  const engine = pod.status.containerStatuses.find((one) => one.name === ENGINE);
  const waiting = fetch?.state.waiting ?? engine?.state.waiting;
  if (!engine?.state.running) return waits(pod, waiting);
  if (engine.ready) return { doing: { phase: "up", address: { host: pod.status.podIP, port: ENGINE_PORT } } };
  if (!engine.started) return { doing: { phase: "loading", detail: "starting the engine" } };
  return { doing: { phase: "unknown", detail: "the engine does not answer /health" } };
}

function waits(
  pod: Pod,
  waiting: { readonly reason: string; readonly message: string } | undefined,
): Verdict {
  const image = pod.spec.containers.find((one) => one.name === ENGINE)?.image ?? "";
  switch (waiting?.reason) {
    case "InvalidImageName":
      return { doing: gone("CONFIG_INVALID", `${image} is no name of an image.`) };
    case "ErrImagePull":
    case "ImagePullBackOff":
    case "ErrImageNeverPull":
      return {
        doing: {
          phase: "provisioning",
          detail: `the node can't pull the image ${image}: ${pullWords(waiting.message)}`,
        },
      };
    case "CreateContainerConfigError":
    case "CreateContainerError":
    case "RunContainerError":
      return {
        doing: gone("CONFIG_INVALID", `The node can't make the container: ${waiting.message.slice(0, 300)}`),
      };
    default:
      return { doing: { phase: "provisioning", detail: "the node prepares the pod" }, eventsOf: pod };
  }
}

function pullWords(message: string): string {
  if (/unauthorized|denied|forbidden|40[13]/i.test(message))
    return "the registry refuses it; check kubernetes.pullSecrets";
  if (/not found|404|manifest unknown/i.test(message)) return "the registry does not have it";
  return message === "" ? "the registry does not hand it out" : message.slice(0, 200);
}

function readyReason(pod: Pod): string {
  return pod.status.conditions.find((one) => one.type === "Ready")?.reason ?? "";
}

/** "waits for 2 × nvidia.com/gpu in region a: 0 of 3 nodes have it free", from the scheduler's own count. */
export function waitsFor(region: string, pod: Pod, said: string): string {
  const wants = pod.metadata.annotations[WANTS] || "room";
  const pin = pod.metadata.annotations[NODE_PIN] ?? "";
  const where = pin === "" ? `in region ${region}` : `on node ${pin} of region ${region}`;
  const [, free, all] = /(\d+)\/(\d+) nodes? (?:are|is) available/.exec(said) ?? [];
  if (free === undefined) return `waits for ${wants} ${where}: the cluster has not looked yet`;
  const causes = said
    .replace(/^.*?available:\s*/, "")
    .replace(/\.?\s*(?:preemption:|no new claims).*$/i, "")
    .replace(/\.$/, "");
  const why = causes === "" || causes === said ? "" : ` (${causes.slice(0, 300)})`;
  return `waits for ${wants} ${where}: ${free} of ${all} nodes have it free${why}`;
}

/** What ended is gone, although the kubelet would start it again: another attempt has another name. */
function endedIn(pod: Pod): Ended | undefined {
  const all = [...pod.status.initContainerStatuses, ...pod.status.containerStatuses];
  for (const status of all) {
    const now = status.state.terminated;
    const finished = status.name !== ENGINE && now?.exitCode === 0;
    if ((now && !finished) || (status.lastState.terminated && !finished)) {
      return { pod, container: status.name, status };
    }
  }
  return undefined;
}

function endingOf({ container, status }: Ended): string {
  const end = status.state.terminated ?? status.lastState.terminated;
  const what = container === FETCH ? "The download of the weights" : "The engine";
  if (end?.reason === "OOMKilled")
    return `${what} was ended for using more memory than its limit (OOMKilled).`;
  const signal = end?.signal ?? ((end?.exitCode ?? 0) > 128 ? (end?.exitCode ?? 0) - 128 : 0);
  if (signal > 0) return `${what} was ended by signal ${signal}.`;
  return `${what} ended by itself with status ${end?.exitCode ?? "unknown"}.`;
}

function gone(reason: Reason, message: string): Doing {
  return { phase: "gone", failure: { reason, message, retryable: isRetryable(reason) } };
}
