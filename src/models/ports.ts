/** What this domain is given: money, machines, engines, weights, and the small things that tests replace. */
import type { BaseCtx } from "../base/ctx.ts";
import type { SavingsPlan } from "../base/gpu-savings.ts";
import type { SecretBox } from "../base/seal.ts";
import type { StatusError } from "../base/status.ts";
import type { Steps } from "../base/steps.ts";
import type { DbCtx, TxCtx } from "../db/db.ts";
import type { Engine, GpuType } from "../engines/engine.ts";
import type { Terms } from "../identity/index.ts";
import type { Driver, ReplicaAddress, ReplicaStorage } from "../providers/driver.ts";
import type { Weights } from "../weights/index.ts";
import type { ProbeOutcome } from "./attempt.ts";
import type { ModelChanges } from "./changes.ts";
import type { ModelLimits } from "./limits.ts";
import type { Provider } from "./model.ts";
import type { Layout } from "./placement.ts";
import type { ConditionReason } from "./reasons.ts";
import type { ModelStatus } from "./states.ts";

/** A version of a price: per GPU and hour, or per replica and hour on CPUs. */
export interface GpuPrice extends SavingsPlan {
  readonly versionId: string;
  readonly currency: string;
  readonly nanosPerHour: bigint;
}

/** GPU time of one slot, as billing keeps it. */
export interface SlotTime {
  readonly slot: number;
  readonly state: "none" | "held" | "open";
  readonly windowEndsAt: Date | null;
  readonly nextHeld: boolean;
}

export interface SlotInput {
  readonly deploymentId: string;
  readonly slot: number;
}

export interface WindowInput extends SlotInput {
  readonly modelId: string;
  readonly userId: string;
  readonly price: GpuPrice;
  readonly gpuCount: number;
  readonly place: { readonly provider: Provider; readonly region: string; readonly gpuType: GpuType };
  readonly windowMs: number;
  readonly now: Date;
}

export interface MoneyVerdict {
  readonly ok: boolean;
  readonly balance: {
    readonly currency: string;
    readonly totalNanos: bigint;
    readonly availableNanos: bigint;
  };
  readonly card: "ok" | "missing" | "expired";
  /** What open windows cost an hour. */
  readonly burnNanosPerHour: bigint;
  /** What tokens cost in the last hour. */
  readonly tokenNanosPerHour: bigint;
  /** Null when nothing is spent. */
  readonly runwaySeconds: number | null;
  /** All that speaks against it. */
  readonly errors: readonly StatusError[];
}

/** What models asks of billing; see its README for what each promises. */
export interface ModelBilling {
  moneyVerdict(
    ctx: DbCtx,
    input: {
      userId: string;
      holdNanos: bigint;
      currency: string;
      placeKind: "local" | "cloud";
      /** Of a model that scales up: what it costs an hour more. Adds RUNWAY_SHORT to what may be wrong. */
      scaleUpNanosPerHour?: bigint;
    },
  ): Promise<MoneyVerdict>;
  /** Whether each of these users got money since their moment, in the order asked for. */
  moneyCameSince(
    ctx: DbCtx,
    asked: readonly { readonly userId: string; readonly since: Date }[],
  ): Promise<readonly boolean[]>;
  /** Whether each of these models' budgets has room since its moment that it had not before, in the order asked for. */
  budgetRoomSince(
    ctx: DbCtx,
    asked: readonly { readonly modelId: string; readonly since: Date }[],
  ): Promise<readonly boolean[]>;
  gpuPrice(
    ctx: DbCtx,
    input: { provider: Provider; region: string; gpuType: GpuType; at: Date },
  ): Promise<GpuPrice | undefined>;
  /** An open or held window exists afterwards. Throws BALANCE_TOO_LOW, BUDGET_EXCEEDED. */
  ensureWindowHeld(tx: TxCtx, input: WindowInput): Promise<SlotTime>;
  /** Successful completion probes, in the same order; each adds the time since the one before it. */
  meterProbes(
    tx: TxCtx,
    probes: readonly (SlotInput & { readonly at: Date })[],
  ): Promise<readonly SlotTime[]>;
  /** Throws BALANCE_TOO_LOW, BUDGET_EXCEEDED. */
  holdNextWindow(tx: TxCtx, input: SlotInput & { price: GpuPrice; now: Date }): Promise<SlotTime>;
  endSlot(tx: TxCtx, input: SlotInput & { at: Date }): Promise<void>;
}

/** Where a completion is asked for. */
export interface ProbeTarget {
  readonly address: ReplicaAddress;
  readonly engineKey: string;
  readonly servedName: string;
}

/** Asks an engine for a real one-token completion. Never throws: what went wrong is the outcome. */
export interface CompletionProbe {
  probe(ctx: BaseCtx, target: ProbeTarget, timeoutMs: number): Promise<ProbeOutcome>;
}

/** A model that took on another status. */
export interface StatusMove {
  readonly modelId: string;
  readonly userId: string;
  /** Null for a model that was just made. */
  readonly from: ModelStatus | null;
  readonly to: ModelStatus;
  readonly reason: ConditionReason;
}

/** Whoever wants to tell the owner. Called last in the transaction that writes the move, so that neither is without the other. */
export interface ModelNews {
  moved(tx: TxCtx, move: StatusMove): Promise<void>;
}

/** Whoever knows where a model's replicas may keep what they evaluate. */
export interface ModelStorage {
  /** Undefined: they keep nothing beyond their life. */
  partOf(
    ctx: DbCtx,
    model: { readonly userId: string; readonly modelId: string },
  ): Promise<ReplicaStorage | undefined>;
}

export interface ModelsDeps {
  readonly drivers: readonly Driver[];
  readonly engines: readonly Engine[];
  readonly weights: Pick<Weights, "resolve">;
  readonly box: SecretBox;
  readonly installationId: string;
  /** What endpoints begin with. */
  gatewayUrl(): string;
  readonly limits: ModelLimits;
  readonly steps: Steps;
  readonly probe: CompletionProbe;
  readonly billing: ModelBilling;
  readonly changes: ModelChanges;
  /** Where replicas of one model go when several places are as good; absent: "pack". */
  readonly layout?: Layout;
  readonly news: ModelNews;
  /** What owners accept before they deploy; undefined where the operator configured no terms. */
  readonly terms?: Terms | undefined;
  /** Absent: replicas keep nothing beyond their life. */
  readonly storage?: ModelStorage;
}
