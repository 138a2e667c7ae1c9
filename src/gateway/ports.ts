/** What the gateway needs of the world. main wires it to the domains; tests and the bench hold it in memory. */
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { PaceVerdict } from "../base/pace.ts";
import type { Random } from "../base/random.ts";
import type { SecretBox } from "../base/seal.ts";
import type { Steps } from "../base/steps.ts";
import type { InferenceKey } from "../identity/index.ts";
import type { GatewayLimits } from "./limits.ts";

/** An engine that answered a real completion and is not leaving. */
export interface RouteReplica {
  readonly replicaId: string;
  readonly host: string;
  readonly port: number;
  /** What the engine expects as its bearer; never the user's key. */
  readonly engineKey: string;
  /** SHA-256 of the server certificate, lower-case hex, where the reach is `tls`. */
  readonly certificateSha256?: string;
}

/** Where a model is reached, and why not when it isn't. */
export interface GatewayRoute {
  readonly modelId: string;
  readonly servedName: string;
  readonly modelName: string;
  readonly ownerId: string;
  /** The model's own key opens nothing then. */
  readonly ownerDisabled: boolean;
  /** SHA-256 of the model's own key. */
  readonly keyHash: Buffer;
  readonly status: string;
  /** The condition's reason and public sentence. */
  readonly reason: string;
  readonly message: string;
  /** When it may be worth trying again; 0 = it won't become ready by itself. */
  readonly retryAfterMs: number;
  /** Tokens of context; 0 when it isn't known yet. */
  readonly contextTokens: number;
  readonly replicas: readonly RouteReplica[];
  /** Set when the route was found by a catalogue name. */
  readonly published?: PublishedOffer;
}

export interface PublishedOffer {
  readonly servedName: string;
  readonly modelId: string;
  readonly price: {
    readonly versionId: string;
    readonly inputNanosPerMillion: bigint;
    readonly cachedNanosPerMillion: bigint;
    readonly outputNanosPerMillion: bigint;
  };
  /** 0 = the gateway's own bound. */
  readonly limits: { readonly concurrencyMax: number; readonly outputTokensMax: number };
}

/** A user's key, and what of the user's is bounded by budgets. */
export interface GatewayKey extends InferenceKey {
  /** `key:<id>`, `model:<id>`, `catalog:<name>`; absent where nothing is. */
  readonly budgets?: ReadonlySet<string>;
}

/** What a slice is for, where budgets bound that: it counts in those of what is named. */
export interface SlicePurpose {
  readonly keyId: string | null;
  readonly modelId: string | null;
  readonly servedName: string | null;
}

/** Money leased from the ledger: may be spent for `spendMs` from now, by this gateway alone. */
export interface LeasedSlice {
  readonly sliceId: string;
  readonly amountNanos: bigint;
  readonly spendMs: number;
}

/** One request's end, told once. The gateway's request id is what makes a repeat harmless. */
export interface GatewayUsage {
  readonly requestId: string;
  readonly gatewayId: string;
  readonly modelId: string;
  readonly servedName: string;
  readonly userId: string;
  readonly keyId: string | null;
  readonly sliceId: string | null;
  readonly priceVersionId: string | null;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly estimated: boolean;
  readonly outcome: "ok" | "client_gone" | "upstream_error" | "rejected";
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly ttftMs: number | null;
}

export interface GatewayControl {
  routesByModelId(ids: readonly string[]): Promise<readonly GatewayRoute[]>;
  /** Served names of deployments and names of the catalogue. */
  routesByServedName(names: readonly string[]): Promise<readonly GatewayRoute[]>;
  /** All that a user owns and that may be called. */
  routesOfOwner(userId: string): Promise<readonly GatewayRoute[]>;
  published(): Promise<readonly PublishedOffer[]>;
  keyByHash(hash: Buffer): Promise<GatewayKey | undefined>;
  /** Throws StatusError BALANCE_TOO_LOW when `wantNanos` are not free, BUDGET_EXCEEDED when a budget leaves less. */
  leaseSlice(input: {
    /** The slice's name, so that one whose answer is lost can be closed. */
    readonly sliceId: string;
    readonly userId: string;
    readonly wantNanos: bigint;
    readonly purpose?: SlicePurpose;
  }): Promise<LeasedSlice>;
  closeSlice(sliceId: string): Promise<void>;
  /** At least once: resolves when the records are in the ledger. */
  shipUsage(records: readonly GatewayUsage[]): Promise<void>;
  /** `model:<id>`, `key:<id>`, `user:<id>`, `slice:<id>`, or `` for "anything may have changed". Returns how to stop. */
  onChange(listener: (what: string) => void): () => void;
}

export interface GatewayDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly steps: Steps;
  readonly gatewayId: string;
  readonly box: SecretBox;
  /** Folder of the unshipped usage log: the one truth outside the database. */
  readonly usageLogDir: string;
  readonly limits: GatewayLimits;
  readonly control: GatewayControl;
  readonly version: string;
  /** Counts one request of a key or an address and says whether it may go on; undefined where there is no limit. */
  readonly pace?: (kind: "key" | "address", id: string) => PaceVerdict | undefined;
  /** Addresses and ranges of reverse proxies whose X-Forwarded-For names the caller. */
  readonly trustedProxies?: readonly string[];
}
