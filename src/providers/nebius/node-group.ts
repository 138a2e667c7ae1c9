/** A replica's nodes as a group of the cluster. Pure. */
import { createHash } from "node:crypto";
import type { ReplicaName, ReplicaSpec } from "../driver.ts";
import { LABELS } from "../kubernetes/labels.ts";
import type { NebiusConfig } from "./config.ts";
import { type Kind, sizeFor } from "./presets.ts";

/** What our groups carry at the cloud; its labels are simpler than Kubernetes'. */
export const GROUP_LABELS = { managedBy: "managed-by", installation: "slipway-installation" } as const;
export const MANAGER = "slipway";

/** Nodes that have one replica alone. */
export interface NodeGroupWish {
  /** The replica's. */
  readonly name: ReplicaName;
  readonly labels: Readonly<Record<string, string>>;
  readonly nodeCount: number;
  readonly platform: string;
  readonly preset: string;
  readonly diskGib: number;
  readonly driversPreset: string;
  readonly os: string;
  readonly preemptible: boolean;
  readonly nodeLabels: Readonly<Record<string, string>>;
  readonly taint: { readonly key: string; readonly value: string };
  /** When a node goes that still has pods. */
  readonly drainSeconds: number;
}

export interface NodeGroup {
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: Date;
  readonly going: boolean;
  readonly wantedNodes: number;
  readonly nodes: number;
  readonly readyNodes: number;
  readonly troubles: readonly Trouble[];
}

/** Something that the cloud says against a group. */
export interface Trouble {
  readonly kind: "quota" | "no-machine" | "other";
  readonly message: string;
}

/** Throws what sizeFor throws. */
export function wishOf(
  spec: ReplicaSpec,
  kinds: readonly Kind[],
  config: NebiusConfig,
  drainMaxSeconds: number,
): NodeGroupWish {
  const nodeCount = nodesOf(spec);
  const { kind, size } = sizeFor(spec.region, kinds, spec.gpuType, spec.gpuCount / nodeCount);
  return {
    name: spec.name,
    labels: { [GROUP_LABELS.managedBy]: MANAGER, [GROUP_LABELS.installation]: spec.key.installationId },
    nodeCount,
    platform: kind.platform,
    preset: size.preset,
    diskGib: config.diskGib,
    driversPreset: kind.driversPreset,
    os: kind.os ?? "",
    preemptible: kind.preemptible,
    nodeLabels: ownNodes(spec.name),
    taint: taintOf(spec.name),
    drainSeconds: drainMaxSeconds + DRAIN_SPARE_SECONDS,
  };
}

/** A pod's sleep before it stops, and the closing down of its engine. */
const DRAIN_SPARE_SECONDS = 60;

function nodesOf(spec: ReplicaSpec): number {
  const { nodes } = spec.plan.options;
  return typeof nodes === "number" && nodes > 1 ? nodes : 1;
}

/** The label by which a replica's pods find its nodes. */
export function ownNodes(name: ReplicaName): Readonly<Record<string, string>> {
  return { [LABELS.replica]: name };
}

/** Keeps others away. Under the key that what installs GPUs (device plugin, operator) tolerates, or nodes would have none to give. */
export function taintOf(name: ReplicaName): NodeGroupWish["taint"] {
  return { key: "nvidia.com/gpu", value: name };
}

/** The same for every worker and every try, so that the cloud takes them for one call; in the form of a random UUID. */
export function idempotencyKey(what: "create" | "delete", name: string): string {
  const hex = createHash("sha256").update(`${what}/${name}`).digest("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
