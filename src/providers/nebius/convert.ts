/** Between our words and the cloud's wire. */
import { create } from "@bufbuild/protobuf";
import { anyUnpack, timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type Operation,
  type RecurrentResourceEvent,
  ResourceEvent_Level,
} from "../../../gen/nebius/common/v1/common_pb.js";
import type { Platform as WirePlatform } from "../../../gen/nebius/compute/v1/compute_pb.js";
import {
  ClusterStatus_State,
  DiskSpec_DiskType,
  NodeGroupSpecSchema,
  NodeGroupStatus_State,
  NodeTaint_Effect,
  ProgressDataSchema,
  type Cluster as WireCluster,
  type NodeGroup as WireGroup,
} from "../../../gen/nebius/mk8s/v1/mk8s_pb.js";
import type { NodeGroup, NodeGroupWish, Trouble } from "./node-group.ts";
import { troubleOf } from "./rpc-refusal.ts";

export interface Cluster {
  readonly projectId: string;
  readonly running: boolean;
  readonly version: string;
  readonly publicEndpoint: string;
  readonly privateEndpoint: string;
  readonly ca: string;
}

export interface Platform {
  readonly name: string;
  readonly presets: readonly string[];
  /** Name of the quota of its GPUs; "" where none is said. */
  readonly quota: string;
}

export function clusterOf({ metadata, status }: WireCluster): Cluster {
  const control = status?.controlPlane;
  return {
    projectId: metadata?.parentId ?? "",
    running: status?.state === ClusterStatus_State.RUNNING,
    version: control?.version ?? "",
    publicEndpoint: control?.endpoints?.publicEndpoint ?? "",
    privateEndpoint: control?.endpoints?.privateEndpoint ?? "",
    ca: control?.auth?.clusterCaCertificate ?? "",
  };
}

export function specOf(wish: NodeGroupWish) {
  const none = { value: { case: "count" as const, value: 0n } };
  const one = { value: { case: "count" as const, value: 1n } };
  return create(NodeGroupSpecSchema, {
    size: { case: "fixedNodeCount", value: BigInt(wish.nodeCount) },
    template: {
      metadata: { labels: { ...wish.nodeLabels } },
      taints: [{ ...wish.taint, effect: NodeTaint_Effect.NO_SCHEDULE }],
      resources: { platform: wish.platform, size: { case: "preset", value: wish.preset } },
      bootDisk: {
        size: { case: "sizeGibibytes", value: BigInt(wish.diskGib) },
        type: DiskSpec_DiskType.NETWORK_SSD,
      },
      ...(wish.driversPreset === "" ? {} : { gpuSettings: { driversPreset: wish.driversPreset } }),
      ...(wish.preemptible ? { preemptible: {} } : {}),
      os: wish.os,
    },
    // Never a second machine beside a replica's own; and a node whose pods won't go must not stay, and cost, for ever.
    strategy: { maxSurge: none, maxUnavailable: one, drainTimeout: { seconds: BigInt(wish.drainSeconds) } },
  });
}

export function groupOf({ metadata, status }: WireGroup): NodeGroup {
  return {
    id: metadata?.id ?? "",
    name: metadata?.name ?? "",
    labels: metadata?.labels ?? {},
    createdAt: metadata?.createdAt ? timestampDate(metadata.createdAt) : new Date(0),
    going: status?.state === NodeGroupStatus_State.DELETING,
    wantedNodes: Number(status?.targetNodeCount ?? 0n),
    nodes: Number(status?.nodeCount ?? 0n),
    readyNodes: Number(status?.readyNodeCount ?? 0n),
    troubles: (status?.events ?? []).flatMap(eventTrouble),
  };
}

function eventTrouble({ lastOccurrence: last }: RecurrentResourceEvent): readonly Trouble[] {
  const isTrouble = last?.level === ResourceEvent_Level.ERROR || last?.level === ResourceEvent_Level.WARN;
  return last && isTrouble ? [troubleOf(last.message, last.error)] : [];
}

export function problemsOf({ progressData, status }: Operation): readonly Trouble[] {
  if (status && status.code !== 0) return [troubleOf(status.message, status)];
  const progress = progressData && anyUnpack(progressData, ProgressDataSchema);
  return (progress?.problems ?? []).map(({ stage, message }) => troubleOf(`${stage}: ${message}`, undefined));
}

export function platformOf({ metadata, spec }: WirePlatform): Platform {
  return {
    name: metadata?.name ?? "",
    presets: (spec?.presets ?? []).map((one) => one.name),
    quota: spec?.gpuCountQuotaType ?? "",
  };
}
