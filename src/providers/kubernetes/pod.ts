/** The pod of a replica. Pure: the same replica always gives the same pod. */
import type { ReplicaSpec } from "../driver.ts";
import { OVERHEAD_BYTES } from "../llama-process.ts";
import { type EngineContainer, FILES_DIR, HOME_DIR, verbatim } from "./engine-container.ts";
import { labelsOf, NODE_PIN, WANTS } from "./labels.ts";
import type { KubernetesDriverOptions } from "./options.ts";
import { FETCH_ORDER, FETCH_SCRIPT, HUB_TOKEN, WEIGHTS_VOLUME, type WeightsPlace } from "./weights-volume.ts";

export const ENGINE = "engine";
export const FETCH = "weights";
/** Time in which whoever still sends there hears that it is going. */
const PRE_STOP_SECONDS = 5;
/** After the last stream: closing down, and giving memory back. */
const STOP_SPARE_SECONDS = 15;
const GIB = 2 ** 30;
const SHM_BYTES = 8 * GIB;

export interface PodInput {
  readonly options: KubernetesDriverOptions;
  readonly spec: ReplicaSpec;
  readonly weights: WeightsPlace;
  readonly container: EngineContainer;
  /** GPUs of this pod; less than the replica's when it spans nodes. */
  readonly gpuCount: number;
}

export function podTemplate(input: PodInput): object {
  const { options, spec } = input;
  const wants = gpuOf(input) ? `${input.gpuCount} × ${gpuOf(input)?.resource}` : "";
  return {
    metadata: {
      labels: labelsOf(spec.name, spec.key),
      annotations: { [WANTS]: wants, [NODE_PIN]: spec.nodeId },
    },
    spec: podSpec(input, options),
  };
}

function podSpec(input: PodInput, { config, drainMaxSeconds }: KubernetesDriverOptions): object {
  const { spec, weights } = input;
  const { runtimeClass, priorityClass, tolerations, pullSecrets, uid } = config;
  return {
    automountServiceAccountToken: false,
    // Neighbours' names and addresses are none of the engine's business.
    enableServiceLinks: false,
    terminationGracePeriodSeconds: PRE_STOP_SECONDS + drainMaxSeconds + STOP_SPARE_SECONDS,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: uid,
      runAsGroup: uid,
      fsGroup: uid,
      // A shared volume of terabytes is not walked through at every start.
      fsGroupChangePolicy: "OnRootMismatch",
      seccompProfile: { type: "RuntimeDefault" },
    },
    ...(runtimeClass === undefined || !gpuOf(input) ? {} : { runtimeClassName: runtimeClass }),
    ...(priorityClass === undefined ? {} : { priorityClassName: priorityClass }),
    ...(pullSecrets.length === 0 ? {} : { imagePullSecrets: pullSecrets.map((name) => ({ name })) }),
    ...tolerated([...tolerations, ...ownTolerations(input)]),
    affinity: { nodeAffinity: nodesFor(input) },
    ...(weights.fetch ? { initContainers: [fetchContainer(input)] } : {}),
    containers: [engineOf(input)],
    volumes: [
      { name: "files", secret: { secretName: spec.name, defaultMode: 0o440 } },
      { name: "home", emptyDir: {} },
      { name: "tmp", emptyDir: {} },
      { name: "shm", emptyDir: { medium: "Memory", sizeLimit: String(SHM_BYTES) } },
      weights.volume,
    ],
  };
}

function tolerated(tolerations: readonly object[]): object {
  return tolerations.length === 0 ? {} : { tolerations };
}

function ownTolerations({ options, spec }: PodInput): readonly object[] {
  const own = options.ownNodes?.(spec);
  return own ? [{ ...own.taint, operator: "Equal", effect: "NoSchedule" }] : [];
}

/** Required, never preferred: a replica that can't be where it was asked for waits and says so. */
function nodesFor(input: PodInput): object | undefined {
  const { options, spec } = input;
  const { config } = options;
  const gpu = gpuOf(input);
  const own = options.ownNodes?.(spec)?.labels;
  const wanted = { ...(own ?? gpu?.nodeLabels ?? config.cpu?.nodeLabels ?? {}) };
  if (spec.nodeId !== "") wanted[config.nodeLabel] = spec.nodeId;
  const matchExpressions = Object.entries(wanted).map(([key, value]) => ({
    key,
    operator: "In",
    values: [value],
  }));
  if (matchExpressions.length === 0) return undefined;
  return { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] } };
}

function gpuOf({ options, spec, gpuCount }: PodInput) {
  return spec.gpuType === "UNSPECIFIED" || gpuCount === 0 ? undefined : options.config.gpus[spec.gpuType];
}

const CONFINED = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  readOnlyRootFilesystem: true,
};

function engineOf(input: PodInput): object {
  const { container, weights } = input;
  return {
    name: ENGINE,
    image: container.image,
    command: container.argv,
    env: envOf({ ...container.env, ...HOMES }),
    ports: container.ports.map(({ name, port }) => ({ name, containerPort: port })),
    ...probesOf(container),
    // The sleep lets whoever routes hear of it; then SIGTERM, upon which the engine finishes what it streams.
    lifecycle: { preStop: { exec: { command: ["/bin/sleep", String(PRE_STOP_SECONDS)] } } },
    resources: resourcesOf(input),
    securityContext: CONFINED,
    volumeMounts: [
      { name: "files", mountPath: FILES_DIR, readOnly: true },
      { name: "home", mountPath: HOME_DIR },
      { name: "tmp", mountPath: "/tmp" },
      { name: "shm", mountPath: "/dev/shm" },
      { name: WEIGHTS_VOLUME, mountPath: weights.mountPath, readOnly: true },
    ],
  };
}

/** Users without an entry in /etc/passwd: Python and its libraries ask for names and homes. */
const HOMES = { HOME: HOME_DIR, USER: "engine", LOGNAME: "engine", TMPDIR: "/tmp" };

function envOf(all: Readonly<Record<string, string>>): readonly object[] {
  return Object.entries(all).map(([name, value]) => ({ name, value: verbatim(value) }));
}

/** The start has its own, long patience; only then do readiness and liveness begin to count. */
function probesOf({ probes }: EngineContainer): object {
  if (!probes) return {};
  const { path, port, periodSeconds } = probes;
  const probe = {
    httpGet: { path, port },
    periodSeconds,
    timeoutSeconds: Math.max(1, Math.min(10, periodSeconds)),
  };
  return {
    startupProbe: { ...probe, failureThreshold: probes.startupFailures },
    readinessProbe: { ...probe, failureThreshold: probes.readinessFailures },
    livenessProbe: { ...probe, failureThreshold: probes.livenessFailures },
  };
}

function resourcesOf(input: PodInput): object {
  const { options, spec, gpuCount } = input;
  const { config } = options;
  const gpu = gpuOf(input);
  const { offloadGiB, threads } = spec.plan.options;
  if (!gpu) {
    const memory = String(Math.ceil(spec.plan.memoryBytes + OVERHEAD_BYTES));
    const cpu = String(typeof threads === "number" ? Math.max(1, threads) : 1);
    return { requests: { cpu, memory }, limits: { memory } };
  }
  const share = gpuCount / Math.max(1, spec.gpuCount);
  const offload = typeof offloadGiB === "number" ? offloadGiB * share : 0;
  const memory = String(Math.ceil((config.memoryPerGpuGib * gpuCount + offload) * GIB));
  const gpus = { [gpu.resource]: String(gpuCount) };
  return { requests: { cpu: String(config.cpusPerGpu * gpuCount), memory, ...gpus }, limits: gpus };
}

function fetchContainer({ container, weights }: PodInput): object {
  return {
    name: FETCH,
    image: container.image,
    command: ["python3", ...[FETCH_SCRIPT, FETCH_ORDER, HUB_TOKEN].map((file) => `${FILES_DIR}/${file}`)],
    env: envOf(HOMES),
    resources: { requests: { cpu: "250m", memory: String(256 * 2 ** 20) } },
    securityContext: CONFINED,
    volumeMounts: [
      { name: "files", mountPath: FILES_DIR, readOnly: true },
      { name: "tmp", mountPath: "/tmp" },
      { name: WEIGHTS_VOLUME, mountPath: weights.mountPath },
    ],
  };
}
