/** The words of this domain: a model, the attempts at its replicas, the limits under which it lives. */

import type { EnginePlan, GpuType, Hardware, SpecValues, WeightsFacts } from "../engines/engine.ts";
import type { ReplicaAddress } from "../providers/driver.ts";
import type { ConditionReason } from "./reasons.ts";
import type { Desired, ModelStatus } from "./states.ts";

export type Provider = "ONPREM" | "NEBIUS" | "LAMBDA" | "YOTTA";

/** Where and on what replicas run. */
export interface Place {
  /** Name of the driver that offers it. */
  readonly driver: string;
  readonly provider: Provider;
  readonly region: string;
  readonly gpuType: GpuType;
  /** GPUs of one replica; 0 for a replica on CPUs. */
  readonly gpuCount: number;
  /** "" for any node. */
  readonly nodeId: string;
}

/** The place as it was asked for; undefined is left open. */
export interface WantedPlace {
  readonly provider: Provider | undefined;
  readonly region: string | undefined;
  readonly gpuType: GpuType;
  readonly gpuCount: number;
  readonly nodeId: string;
  /** Machines that their provider may take back will do; absent: they won't. */
  readonly spot?: boolean | undefined;
  /** Most that a GPU hour may cost at a place that is fallen back to; undefined: what was named for the chosen one. */
  readonly priceMax?: { readonly currency: string; readonly nanosPerHour: string } | undefined;
}

/** Why a model is in its state. Every model always has one. */
export interface Condition {
  readonly reason: ConditionReason;
  /** A public sentence with the facts, in the provider's or the engine's own words where there are any. */
  readonly message: string;
  readonly since: Date;
  /** When the state is given up or alarms its operator; null for states without one. */
  readonly deadline: Date | null;
  /** What happens next by itself, or what the owner can do. */
  readonly nextStep: string;
}

/** How far a long step is. */
export interface Progress {
  readonly step: string;
  /** Bytes; 0 when the step has none. */
  readonly done: number;
  readonly total: number;
}

/** What the reconciler needs of a model each time it looks: the row without its heavy columns. */
export interface Model {
  readonly id: string;
  readonly deploymentId: string;
  readonly userId: string;
  readonly name: string;
  readonly servedName: string;
  readonly place: Place;
  readonly desired: Desired;
  readonly desiredReason: ConditionReason;
  readonly desiredAt: Date;
  readonly replicas: number;
  /** Grows with every change of the spec. */
  readonly generation: number;
  /** Grows with every deploy, resume, retry and change of the spec: failures before it don't count. */
  readonly startNumber: number;
  /** Grows with every wish. */
  readonly version: bigint;
  readonly status: ModelStatus;
  readonly statusSince: Date;
  readonly condition: Condition;
  readonly gaveUp: { readonly reason: ConditionReason; readonly message: string } | null;
  /** Since when it waits for a first sign of a machine; null while it does not. */
  readonly waitingSince: Date | null;
  readonly readyReplicas: number;
  readonly progress: Progress | null;
  readonly claimEpoch: bigint;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What is served and how: the heavy part of the row, read when a replica is started or a person looks. */
export interface ModelSpec {
  readonly description: string;
  readonly path: string;
  readonly wanted: WantedPlace;
  readonly spec: SpecValues;
  readonly kvCache: boolean;
  readonly cpuOffloading: boolean;
  readonly weights: WeightsFacts;
  readonly hardware: Hardware;
  readonly plan: EnginePlan;
  readonly apiKeySealed: Buffer;
  readonly apiKeyHash: Buffer;
  readonly hfTokenSealed: Buffer | null;
  /** The price per GPU and hour that was named when it was started last; null for models of an earlier release. */
  readonly accepted: { readonly currency: string; readonly nanosPerHour: bigint } | null;
}

export interface AttemptFailure {
  readonly reason: ConditionReason;
  readonly message: string;
  /** Another attempt may succeed. */
  readonly retryable: boolean;
}

/** One try at having one replica. */
export interface Attempt {
  /** The replica's name at its provider. */
  readonly name: string;
  readonly modelId: string;
  /** Place of the replica in the deployment, from 0; GPU time is metered by it. */
  readonly slot: number;
  /** Counts the attempts at the slot, over all generations. */
  readonly number: number;
  readonly generation: number;
  readonly startNumber: number;
  /** Name of the driver that was asked for it, and the place that it was asked for; type, count and node are the model's. */
  readonly driver: string;
  readonly provider: Provider;
  readonly region: string;
  readonly createdAt: Date;
  readonly engineKeySealed: Buffer;
  /** The last create call: still out (or its worker died), answered, its answer lost, or refused (nothing was made). */
  readonly applyState: "calling" | "clear" | "unclear" | "refused";
  readonly appliedAt: Date;
  /** Until then a create call of a worker that lost its claim may still come through; null when none can. */
  readonly strandedUntil: Date | null;
  /** When its provider is given up if no machine has come; null for attempts of an earlier release. */
  readonly provisionBy: Date | null;
  /** The provider was seen to have it. */
  readonly seen: boolean;
  /** Since when every look found nothing; null after a look that found it. */
  readonly absentSince: Date | null;
  readonly phase: "none" | "provisioning" | "loading" | "up";
  /** When the phase began, or last showed progress. */
  readonly phaseSince: Date;
  /** What it is doing, for people. */
  readonly detail: string;
  /** Bytes fetched and to be fetched; 0 when not known. */
  readonly progressDone: number;
  readonly progressTotal: number;
  readonly address: ReplicaAddress | null;
  /** First successful completion; null before it. */
  readonly readyAt: Date | null;
  readonly routed: boolean;
  /** End of the slot's open window of GPU time, as last told by billing. */
  readonly windowEndsAt: Date | null;
  readonly nextHeld: boolean;
  /** Failed completions in a row. */
  readonly probeFailures: number;
  readonly probeFailedSince: Date | null;
  /** When it was decided that it goes; null while it is wanted. */
  readonly stoppedAt: Date | null;
  /** Time for its running requests. */
  readonly graceMs: number;
  /** When it left routing; null if it never was in it. */
  readonly unroutedAt: Date | null;
  readonly removeAskedAt: Date | null;
  readonly failure: AttemptFailure | null;
  readonly failures: number;
  /** Its machine was seen to be gone. */
  readonly closedAt: Date | null;
}

export type EventType =
  | "CREATED"
  | "STATUS_CHANGED"
  | "PROGRESS"
  | "UPDATED"
  | "WARNING"
  | "ERROR"
  | "DELETED";

export interface ModelEvent {
  readonly id: bigint;
  readonly createdAt: Date;
  readonly type: EventType;
  readonly log: string;
  readonly status: ModelStatus;
  readonly reason: ConditionReason;
}

/** An event to be written; state and reason are those of the model at that moment. */
export interface NewEvent {
  readonly type: EventType;
  readonly log: string;
}

/** A model with all that its owner may see. */
export interface ModelView {
  readonly model: Model;
  readonly spec: ModelSpec;
  /** Newest first, at most EVENTS_SHOWN. */
  readonly events: readonly ModelEvent[];
  /** "" unless the caller is its owner and asked for this one model. */
  readonly apiKey: string;
  readonly endpoint: string;
}

/** Events that a model carries on the wire. */
export const EVENTS_SHOWN = 20;
/** Events that are kept for each model: a model that fails for weeks must not fill the disk. */
export const EVENTS_KEPT = 1_000;
/** Replicas of one model; the wire has the same bound. */
export const REPLICAS_MAX = 64;
