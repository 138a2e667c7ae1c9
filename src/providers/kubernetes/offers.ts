/** What the cluster's nodes have, and have free. */
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { GpuType } from "../../engines/engine.ts";
import type { RegionOffer } from "../driver.ts";
import { PODS } from "./look.ts";
import { type ClusterNode, nodeSchema, type Pod, quantity } from "./seen.ts";
import type { DriverState } from "./state.ts";

const GPU_TYPES = ["A100", "H100", "H200", "B200"] as const;
const GPU_MEMORY_LABEL = "nvidia.com/gpu.memory";
const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** One offer for each GPU type that a node has, and one for CPUs where the operator lets them be used. */
export async function offers(ctx: BaseCtx, { options, api }: DriverState): Promise<readonly RegionOffer[]> {
  const [nodes, pods] = await Promise.all([
    api.list(ctx, { group: "", resource: "nodes", schema: nodeSchema, everywhere: true }),
    api
      .list(ctx, { ...PODS, everywhere: true, fields: "status.phase!=Succeeded,status.phase!=Failed" })
      .catch(withoutRight),
  ]);
  const used = usedByNode(pods);
  const usable = nodes.filter(isUsable);
  const { gpus, cpu } = options.config;
  const found = GPU_TYPES.flatMap((type) => {
    const gpu = gpus[type];
    if (!gpu) return [];
    const fitting = usable.filter(
      (node) => hasLabels(node, gpu.nodeLabels) && quantity(node.status.allocatable[gpu.resource]) > 0,
    );
    return fitting.length === 0 ? [] : [gpuOffer(options, type, gpu, fitting, used)];
  });
  if (!cpu) return found;
  const fitting = usable.filter((node) => hasLabels(node, cpu.nodeLabels));
  return fitting.length === 0 ? found : [...found, cpuOffer(options, fitting, used)];
}

/** Who may not see the pods of others counts whole nodes: a hint, and the scheduler is the truth. */
function withoutRight(error: unknown): readonly Pod[] {
  if (error instanceof StatusError && error.code === "PERMISSION_DENIED") return [];
  throw error;
}

type Used = ReadonlyMap<string, readonly Pod[]>;
type Options = DriverState["options"];
type Gpu = NonNullable<Options["config"]["gpus"]["H100"]>;

function gpuOffer(
  options: Options,
  gpuType: GpuType,
  gpu: Gpu,
  nodes: readonly ClusterNode[],
  used: Used,
): RegionOffer {
  const memory = nodes
    .map((node) => quantity(node.metadata.labels[GPU_MEMORY_LABEL]) * MIB)
    .filter((bytes) => bytes > 0);
  const gpuMemoryBytes =
    gpu.memoryGib !== undefined ? gpu.memoryGib * GIB : Math.min(...memory, Number.MAX_SAFE_INTEGER);
  return {
    ...common(options, nodes, used),
    gpuType,
    gpuCountMax: Math.max(...nodes.map((node) => free(node, gpu.resource, used))),
    // Unknown memory is none: preflight then says that nothing fits, rather than that everything does.
    gpuMemoryBytes: gpuMemoryBytes === Number.MAX_SAFE_INTEGER ? 0 : gpuMemoryBytes,
  };
}

function cpuOffer(options: Options, nodes: readonly ClusterNode[], used: Used): RegionOffer {
  return { ...common(options, nodes, used), gpuType: "UNSPECIFIED", gpuCountMax: 0, gpuMemoryBytes: 0 };
}

function common({ region, config }: Options, nodes: readonly ClusterNode[], used: Used) {
  return {
    region,
    reach: config.reach,
    cpuMemoryBytes: Math.max(...nodes.map((node) => free(node, "memory", used))),
    cpuCount: Math.max(1, ...nodes.map((node) => Math.floor(free(node, "cpu", used)))),
    nodeIds: nodes.map((node) => node.metadata.labels[config.nodeLabel] ?? "").filter((id) => id !== ""),
    engines: Object.keys(config.engines),
  };
}

function free(node: ClusterNode, resource: string, used: Used): number {
  const taken = (used.get(node.metadata.name) ?? []).reduce((sum, pod) => sum + requestOf(pod, resource), 0);
  return Math.max(0, quantity(node.status.allocatable[resource]) - taken);
}

/** As the scheduler counts: what the containers ask for together, or the largest init container. */
function requestOf(pod: Pod, resource: string): number {
  const of = (one: Pod["spec"]["containers"][number]) =>
    quantity(one.resources.requests?.[resource] ?? one.resources.limits?.[resource]);
  const running = pod.spec.containers.reduce((sum, one) => sum + of(one), 0);
  return Math.max(running, ...pod.spec.initContainers.map(of));
}

function usedByNode(pods: readonly Pod[]): Used {
  return Map.groupBy(pods, (pod) => pod.spec.nodeName);
}

function isUsable({ spec, status }: ClusterNode): boolean {
  const ready = status.conditions.find((one) => one.type === "Ready");
  return !spec.unschedulable && ready?.status === "True";
}

function hasLabels(node: ClusterNode, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(labels).every(([key, value]) => node.metadata.labels[key] === value);
}
