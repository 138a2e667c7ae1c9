/**
 * The provider port: level-triggered and safe to repeat. A driver knows machines and engines, never money or users.
 * One contract suite (test/contract/driver.ts) runs over every driver.
 */
import type { BaseCtx } from "../base/ctx.ts";
import type { Reason } from "../base/status.ts";
import type { EnginePlan, GpuType, WeightsFacts } from "../engines/engine.ts";

/** Names one attempt at one replica. Everything that a driver creates carries it, and is looked up by it before a create. */
export interface ReplicaKey {
  /** This installation: the sweeper touches nothing of another. */
  readonly installationId: string;
  readonly deploymentId: string;
  readonly generation: number;
  readonly replica: number;
  readonly attempt: number;
}

/** `sw-<8 hex of installation>-<16 hex of hash(deployment, generation, replica, attempt)>`; see replica-name.ts. */
export type ReplicaName = string;

export interface ReplicaSpec {
  readonly key: ReplicaKey;
  readonly name: ReplicaName;
  readonly region: string;
  readonly nodeId: string;
  readonly gpuType: GpuType;
  readonly gpuCount: number;
  /** Memory of each GPU of the offer that it was planned for: where a place has one type in several sizes, this tells which. */
  readonly gpuMemoryBytes?: number;
  /** Machines that the provider may take back will do; where it has others too, the driver takes what there is room for. */
  readonly spot?: boolean;
  readonly weights: WeightsFacts;
  readonly plan: EnginePlan;
  /** Names that the engine answers to as `model`. */
  readonly servedName: string;
  readonly secrets: ReplicaSecrets;
  /** Where evaluated prompts outlive the replica; absent: they don't. */
  readonly storage?: ReplicaStorage | undefined;
}

/** A model's part of its owner's bucket. Ids are UUIDs. */
export interface ReplicaStorage {
  readonly bucketId: string;
  readonly modelId: string;
  /** Most bytes of the whole bucket. */
  readonly limitBytes: number;
}

/** Handed to the engine by file or mount, never by command line or environment. */
export interface ReplicaSecrets {
  /** The key that gateway and probes present to the engine. */
  readonly engineKey: string;
  /** Opens gated weights; "" when there is none. */
  readonly hfToken: string;
}

/** What a driver saw. `at` is when; a caller treats an old observation as unknown. */
export interface ReplicaObservation {
  readonly name: ReplicaName;
  readonly at: Date;
  /** absent: nothing of that name exists · provisioning: machine is being had · loading: weights or engine start · up: engine answers /health · gone: ended by itself · unknown: could not look. */
  readonly phase: "absent" | "provisioning" | "loading" | "up" | "gone" | "unknown";
  /** Where the gateway and the probes reach the engine, when up. */
  readonly address?: ReplicaAddress;
  /** Progress for people: "downloading weights". */
  readonly detail?: string;
  /** Downloaded share, when it is known. */
  readonly progress?: { readonly doneBytes: number; readonly totalBytes: number };
  /** Why it is gone, or can't be: the provider's or the engine's own last words, redacted. */
  readonly failure?: ReplicaFailure;
  /** What the engine said of its memory when it started, when up and where it says so. */
  readonly measured?: EngineMeasured;
}

/** Of one GPU, or of the machine of a CPU replica; tokens of the replica. */
export interface EngineMeasured {
  readonly weightsBytes?: number;
  readonly kvBytes?: number;
  readonly kvTokens?: number;
}

export interface ReplicaAddress {
  readonly host: string;
  readonly port: number;
  /** SHA-256 of the server certificate where the reach is `tls`. */
  readonly certificateSha256?: string;
}

export interface ReplicaFailure {
  readonly reason: Reason;
  readonly message: string;
  /** Another attempt may succeed (capacity, crash) or can't (gated, unsupported). */
  readonly retryable: boolean;
}

/** A thing that the provider has under one of our names. */
export interface ProviderMachine {
  readonly name: ReplicaName;
  readonly installationId: string;
  readonly createdAt: Date;
}

/** One kind of hardware at one region. A type that a place has in several sizes of memory is an offer for each. */
export interface RegionOffer {
  readonly region: string;
  readonly reach: "direct" | "gateway" | "tls";
  readonly gpuType: GpuType;
  /** Most GPUs that one replica may have here; 0 = CPU replicas only. */
  readonly gpuCountMax: number;
  /** The counts that one replica may have, where not every count up to `gpuCountMax` is sold (1, 2, 4, 8). */
  readonly gpuCounts?: readonly number[];
  /** Those of them that there is room for at this moment; absent: not known. A hint: what has none is waited for, not refused. */
  readonly gpuCountsFree?: readonly number[];
  /**
   * Machines that the provider may take back at any moment; only who asks for them gets them. One that was taken back is told as
   * gone for CAPACITY_SHORT: that is no failure, and the next candidate is tried.
   */
  readonly spot?: boolean;
  /** GPUs of this type that the account may have here at once; absent: not known, or without bound. */
  readonly gpuQuota?: { readonly max: number; readonly used: number };
  readonly gpuMemoryBytes: number;
  readonly cpuMemoryBytes: number;
  readonly cpuCount: number;
  readonly nodeIds: readonly string[];
  /** Names of the engines that can be started here; absent = any. */
  readonly engines?: readonly string[];
}

/** What one model keeps in a bucket, as a place has it. */
export interface StoredPart {
  readonly bucketId: string;
  readonly modelId: string;
  readonly bytes: number;
  /** Evaluated prompts. */
  readonly states: number;
  /** Null when it keeps none. */
  readonly lastUsedAt: Date | null;
}

/** What may stay of a bucket. */
export interface StorageRule {
  readonly bucketId: string;
  /** 0 removes the bucket. */
  readonly limitBytes: number;
  /** What was not used since then goes. */
  readonly usedSince: Date;
  /** Whose states stay; those of every other model go. */
  readonly modelIds: readonly string[];
}

/** Buckets of a place that has a disk for them. */
export interface DriverStorage {
  /** Everything that is kept. */
  list(ctx: BaseCtx): Promise<readonly StoredPart[]>;
  /** Removes what the rules don't let stay, the longest unused first; gives the bytes that went for want of room, by bucket. */
  trim(ctx: BaseCtx, rules: readonly StorageRule[]): Promise<ReadonlyMap<string, number>>;
}

export interface Driver {
  readonly provider: "ONPREM" | "NEBIUS" | "LAMBDA" | "YOTTA";
  readonly name: string;
  /** Names of its regions, where they are fixed. */
  readonly regions?: readonly string[];
  /**
   * Two applies under one name, even at the same time, can't make two machines (the provider keeps names unique). Without it
   * nobody creates again after an unclear answer until the name has stayed absent for a while.
   */
  readonly createIsIdempotent?: boolean;
  /** Longest time from the request to a machine that starts an engine; what takes longer is given up and counts as no room. */
  readonly provisioningMaxMs?: number;
  /** What this driver can place now; a hint, the apply is the truth. */
  offers(ctx: BaseCtx): Promise<readonly RegionOffer[]>;
  /**
   * Makes the replica exist (look up by name before create) and returns at once; repeated until observe says up. No room, a spent
   * quota, a rate limit and refused credentials are thrown with a reason of their own (CAPACITY_SHORT, RATE_LIMITED,
   * PLACE_UNAVAILABLE) in the provider's words: they are waited for and never count as failures.
   */
  apply(ctx: BaseCtx, spec: ReplicaSpec): Promise<void>;
  observe(ctx: BaseCtx, names: readonly ReplicaName[]): Promise<readonly ReplicaObservation[]>;
  /** Stops and removes; with `graceMs` the engine first finishes what it streams. Returns when asked for, not when gone: observe tells. */
  remove(ctx: BaseCtx, name: ReplicaName, options: { readonly graceMs: number }): Promise<void>;
  /** Everything of this installation that exists, for the sweeper. */
  list(ctx: BaseCtx, installationId: string): Promise<readonly ProviderMachine[]>;
  /** Absent where replicas can keep nothing beyond their life: a spec's `storage` is then ignored. */
  readonly storage?: DriverStorage;
  /** Engine log lines, newest last; with follow the iterable goes on until the signal aborts. */
  logs(
    ctx: BaseCtx,
    name: ReplicaName,
    options: { readonly tailLines: number; readonly follow: boolean },
  ): AsyncIterable<string>;
}
