/** Every object of a replica, in the order in which they are applied. Pure. */
import type { ReplicaSpec } from "../driver.ts";
import { FETCH_PROGRAM } from "../fetch-weights.ts";
import { ENGINE_KEY_FILE, type EngineContainer, engineContainer } from "./engine-container.ts";
import { LABELS, labelsOf, MANAGER } from "./labels.ts";
import type { KubernetesDriverOptions } from "./options.ts";
import { podTemplate } from "./pod.ts";
import {
  FETCH_ORDER,
  FETCH_SCRIPT,
  fetchOrder,
  HUB_TOKEN,
  type WeightsPlace,
  weightsPlace,
} from "./weights-volume.ts";

/** `resource` is the plural by which the API knows the kind; `group` is "" for the core. */
export interface KubeObject {
  readonly group: string;
  readonly resource: string;
  readonly kind: string;
  readonly body: {
    readonly metadata: { readonly name: string; readonly [field: string]: unknown };
    readonly [field: string]: unknown;
  };
}

export const LWS_GROUP = "leaderworkerset.x-k8s.io";
/** What the cluster puts into every container of a group. */
const LEADER_ADDRESS = "$(LWS_LEADER_ADDRESS)";
const WORKER_INDEX = "$(LWS_WORKER_INDEX)";

export interface Manifests {
  /** Made first: from then on the replica is in every list. All else is owned by it. */
  readonly secret: KubeObject;
  readonly rest: readonly KubeObject[];
}

export function manifestsOf(options: KubernetesDriverOptions, spec: ReplicaSpec): Manifests {
  const weights = weightsPlace(options, spec);
  const nodes = nodesOf(spec);
  const leader = engineContainer(
    options,
    spec,
    weights,
    nodes > 1 ? { rank: 0, leader: LEADER_ADDRESS } : undefined,
  );
  const workload =
    nodes > 1 ? group(options, spec, weights, leader, nodes) : deployment(options, spec, weights, leader);
  return {
    secret: secret(options, spec, weights, leader),
    rest: [
      ...claims(options, spec),
      networkPolicy(options, spec, leader, weights),
      service(spec, leader),
      disruptionBudget(spec, nodes),
      workload,
    ],
  };
}

function nodesOf(spec: ReplicaSpec): number {
  const { nodes } = spec.plan.options;
  return typeof nodes === "number" && nodes > 1 ? nodes : 1;
}

function object(group: string, resource: string, kind: string, spec: ReplicaSpec, rest: object): KubeObject {
  const metadata = { name: spec.name, labels: labelsOf(spec.name, spec.key) };
  return { group, resource, kind, body: { metadata, ...rest } };
}

function secret(
  options: KubernetesDriverOptions,
  spec: ReplicaSpec,
  weights: WeightsPlace,
  container: EngineContainer,
): KubeObject {
  const fetching = weights.fetch
    ? {
        [FETCH_SCRIPT]: FETCH_PROGRAM,
        [FETCH_ORDER]: JSON.stringify(fetchOrder(options, spec, weights.dir)),
        ...(spec.secrets.hfToken === "" ? {} : { [HUB_TOKEN]: spec.secrets.hfToken }),
      }
    : {};
  const files = { [ENGINE_KEY_FILE]: spec.secrets.engineKey, ...container.files, ...fetching };
  const data = Object.fromEntries(
    Object.entries(files).map(([name, text]) => [name, Buffer.from(text).toString("base64")]),
  );
  return object("", "secrets", "Secret", spec, { type: "Opaque", data });
}

const GIB = 2 ** 30;

function claims({ config }: KubernetesDriverOptions, spec: ReplicaSpec): readonly KubeObject[] {
  const { weights } = config;
  if (weights.kind !== "volume") return [];
  const storage = String(Math.ceil(spec.weights.sizeBytes + weights.spareGib * GIB));
  const claim = {
    accessModes: [nodesOf(spec) > 1 ? "ReadWriteMany" : "ReadWriteOnce"],
    resources: { requests: { storage } },
    ...(weights.storageClass === undefined ? {} : { storageClassName: weights.storageClass }),
  };
  return [object("", "persistentvolumeclaims", "PersistentVolumeClaim", spec, { spec: claim })];
}

function selector(spec: ReplicaSpec) {
  return { [LABELS.managedBy]: MANAGER, [LABELS.replica]: spec.name };
}

/** The replica's own name inside the cluster; without an address of its own, since there is one pod behind it. */
function service(spec: ReplicaSpec, container: EngineContainer): KubeObject {
  const ports = container.ports
    .filter((one) => one.from === "gateway")
    .map(({ name, port }) => ({ name, port, targetPort: port, protocol: "TCP" }));
  const leaderOnly = nodesOf(spec) > 1 ? { "leaderworkerset.sigs.k8s.io/worker-index": "0" } : {};
  return object("", "services", "Service", spec, {
    spec: { clusterIP: "None", selector: { ...selector(spec), ...leaderOnly }, ports },
  });
}

/** Engines answer some paths without their key, so nobody else may reach them at all. */
function networkPolicy(
  { config }: KubernetesDriverOptions,
  spec: ReplicaSpec,
  container: EngineContainer,
  weights: WeightsPlace,
): KubeObject {
  const parts = { podSelector: { matchLabels: selector(spec) } };
  const among = nodesOf(spec) > 1 ? [{ from: [parts] }] : [];
  const ports = container.ports
    .filter((one) => one.from === "gateway")
    .map(({ port }) => ({ port, protocol: "TCP" }));
  const from = config.ingressFrom.length === 0 ? [{ podSelector: {} }] : config.ingressFrom.map(peerOf);
  const fetches = config.egress === "weights" && weights.fetch;
  const egress = [...(fetches ? WEIGHTS_EGRESS : []), ...(nodesOf(spec) > 1 ? [{ to: [parts] }, DNS] : [])];
  return object("networking.k8s.io", "networkpolicies", "NetworkPolicy", spec, {
    spec: {
      podSelector: { matchLabels: selector(spec) },
      policyTypes: config.egress === "open" ? ["Ingress"] : ["Ingress", "Egress"],
      ingress: [{ from, ports }, ...among],
      ...(config.egress === "open" ? {} : { egress }),
    },
  });
}

const DNS = {
  ports: [
    { port: 53, protocol: "UDP" },
    { port: 53, protocol: "TCP" },
  ],
};
const WEIGHTS_EGRESS = [DNS, { ports: [{ port: 443, protocol: "TCP" }] }];

function peerOf(peer: KubernetesDriverOptions["config"]["ingressFrom"][number]): object {
  if (peer.cidr !== undefined) return { ipBlock: { cidr: peer.cidr } };
  return {
    namespaceSelector: { matchLabels: peer.namespaceLabels },
    ...(Object.keys(peer.podLabels).length === 0 ? {} : { podSelector: { matchLabels: peer.podLabels } }),
  };
}

/** A node is not drained under a running replica: pause or move the model first. */
function disruptionBudget(spec: ReplicaSpec, nodes: number): KubeObject {
  return object("policy", "poddisruptionbudgets", "PodDisruptionBudget", spec, {
    spec: { minAvailable: nodes, selector: { matchLabels: selector(spec) } },
  });
}

function deployment(
  options: KubernetesDriverOptions,
  spec: ReplicaSpec,
  weights: WeightsPlace,
  container: EngineContainer,
): KubeObject {
  const template = podTemplate({ options, spec, weights, container, gpuCount: spec.gpuCount });
  return object("apps", "deployments", "Deployment", spec, {
    spec: {
      replicas: 1,
      // Two at a time would be two machines under one name; a new generation has a name of its own.
      strategy: { type: "Recreate" },
      revisionHistoryLimit: 0,
      // How long is the control plane's matter.
      progressDeadlineSeconds: 2_147_483_647,
      selector: { matchLabels: selector(spec) },
      template,
    },
  });
}

/** A replica over several nodes: a leader that answers, and workers that follow it; all end together. */
function group(
  options: KubernetesDriverOptions,
  spec: ReplicaSpec,
  weights: WeightsPlace,
  leader: EngineContainer,
  nodes: number,
): KubeObject {
  const gpuCount = spec.gpuCount / nodes;
  const follower = engineContainer(options, spec, weights, { rank: 1, leader: LEADER_ADDRESS });
  const input = { options, spec, weights, gpuCount };
  const reach = (one: EngineContainer): EngineContainer => ({ ...one, argv: inGroup(one.argv) });
  return object(LWS_GROUP, "leaderworkersets", "LeaderWorkerSet", spec, {
    spec: {
      replicas: 1,
      startupPolicy: "LeaderCreated",
      leaderWorkerTemplate: {
        size: nodes,
        restartPolicy: "RecreateGroupOnPodRestart",
        leaderTemplate: podTemplate({ ...input, container: reach(leader) }),
        workerTemplate: podTemplate({ ...input, container: reach(follower) }),
      },
    },
  });
}

/** One template is for all workers, so what differs between them comes from their environment. */
function inGroup(argv: readonly string[]): readonly string[] {
  return argv.map((word, index) => {
    if (argv[index - 1] === "--node-rank") return WORKER_INDEX;
    if (argv[index - 1] === "--master-addr") return LEADER_ADDRESS;
    return word;
  });
}
