/** The gateway's world in memory: models, keys and a small ledger that keeps the promises that the real one keeps. */
import { createHash } from "node:crypto";
import { StatusError } from "../../../src/base/status.ts";
import type {
  GatewayControl,
  GatewayKey,
  GatewayRoute,
  GatewayUsage,
  LeasedSlice,
  PublishedOffer,
  RouteReplica,
  SlicePurpose,
} from "../../../src/gateway/index.ts";

export const ALICE = "aaaaaaaa-0000-4000-8000-00000000000a";
export const BOB = "bbbbbbbb-0000-4000-8000-00000000000b";
export const MODEL = "11111111-2222-4333-8444-555555555555";
export const MODEL_KEY = `model-key-${"m".repeat(24)}`;
export const ALICE_KEY = `sk-${"alice".repeat(8)}`;
export const BOB_KEY = `sk-${"bob12".repeat(8)}`;

export const hashOf = (key: string) => createHash("sha256").update(key).digest();

export function routeOf(replicas: readonly RouteReplica[], more: Partial<GatewayRoute> = {}): GatewayRoute {
  return {
    modelId: MODEL,
    servedName: "tiny-cpux1-11111111",
    modelName: "mine",
    ownerId: ALICE,
    ownerDisabled: false,
    keyHash: hashOf(MODEL_KEY),
    status: "RUNNING",
    reason: "SERVING",
    message: "Serving.",
    retryAfterMs: 0,
    contextTokens: 4_096,
    replicas,
    ...more,
  };
}

export function keyOf(userId: string, more: Partial<GatewayKey> = {}): GatewayKey {
  return { keyId: `key-of-${userId}`, userId, scopes: [], expiresAt: null, disabled: false, ...more };
}

export const CATALOGUE_NAME = "vendor/tiny";

/** 1 nano a token of input, 2 of output: charges can be added in the head. */
export function offerOf(more: Partial<PublishedOffer> = {}): PublishedOffer {
  return {
    servedName: CATALOGUE_NAME,
    modelId: MODEL,
    price: {
      versionId: "price-1",
      inputNanosPerMillion: 1_000_000n,
      cachedNanosPerMillion: 0n,
      outputNanosPerMillion: 2_000_000n,
    },
    limits: { concurrencyMax: 0, outputTokensMax: 0 },
    ...more,
  };
}

interface MemorySlice {
  readonly userId: string;
  /** Of the budgets that it counts in. */
  readonly subjects: readonly string[];
  readonly amountNanos: bigint;
  capturedNanos: bigint;
  closed: boolean;
}

export class MemoryControl implements GatewayControl {
  routes: GatewayRoute[] = [];
  offers: PublishedOffer[] = [];
  readonly keys = new Map<string, GatewayKey>();
  readonly shipped: GatewayUsage[] = [];
  /** Free money by user; slices are taken from it and what is left of them comes back. */
  readonly balances = new Map<string, bigint>();
  readonly slices = new Map<string, MemorySlice>();
  /** What is left of budgets, by `kind:id`. */
  readonly budgets = new Map<string, bigint>();
  /** Usage that no open slice covered: what the operator would have to write off. */
  uncoveredNanos = 0n;
  sliceMs = 3_600_000;
  /** The database can't be asked. */
  down = false;
  /** Only shipping fails. */
  shippingFails = false;
  readonly calls = { routes: 0, keys: 0, leases: 0 };
  readonly #listeners = new Set<(what: string) => void>();

  addKey(secret: string, key: GatewayKey): void {
    this.keys.set(hashOf(secret).toString("hex"), key);
  }

  tell(what: string): void {
    for (const listener of this.#listeners) listener(what);
  }

  async routesByModelId(ids: readonly string[]) {
    this.#look("routes");
    return this.routes.filter((route) => ids.includes(route.modelId));
  }

  async routesByServedName(names: readonly string[]) {
    this.#look("routes");
    const own = this.routes.filter((route) => names.includes(route.servedName));
    const offered = this.offers.flatMap((published) =>
      names.includes(published.servedName)
        ? this.routes
            .filter((route) => route.modelId === published.modelId)
            .map((route) => ({ ...route, published }))
        : [],
    );
    return [...own, ...offered];
  }

  async routesOfOwner(userId: string) {
    this.#look("routes");
    return this.routes.filter((route) => route.ownerId === userId);
  }

  async published() {
    this.#look("routes");
    return this.offers;
  }

  async keyByHash(hash: Buffer) {
    this.#look("keys");
    return this.keys.get(hash.toString("hex"));
  }

  async leaseSlice({ userId, wantNanos, purpose }: Wanted): Promise<LeasedSlice> {
    this.#look("leases");
    const free = this.balances.get(userId) ?? 0n;
    if (free < wantNanos) throw balanceTooLow(wantNanos, free);
    const subjects = purpose ? subjectsOf(purpose).filter((subject) => this.budgets.has(subject)) : [];
    for (const subject of subjects) {
      const left = this.budgets.get(subject) ?? 0n;
      if (left < wantNanos) throw budgetExceeded(subject, wantNanos, left);
    }
    this.#give(userId, subjects, -wantNanos);
    const sliceId = `slice-${this.slices.size + 1}`;
    this.slices.set(sliceId, { userId, subjects, amountNanos: wantNanos, capturedNanos: 0n, closed: false });
    return { sliceId, amountNanos: wantNanos, spendMs: this.sliceMs };
  }

  async closeSlice(sliceId: string) {
    this.#alive();
    const slice = this.slices.get(sliceId);
    if (!slice || slice.closed) return;
    slice.closed = true;
    this.#give(slice.userId, slice.subjects, slice.amountNanos - slice.capturedNanos);
  }

  #give(userId: string, subjects: readonly string[], nanos: bigint): void {
    this.balances.set(userId, (this.balances.get(userId) ?? 0n) + nanos);
    for (const subject of subjects) this.budgets.set(subject, (this.budgets.get(subject) ?? 0n) + nanos);
  }

  async shipUsage(records: readonly GatewayUsage[]) {
    this.#alive();
    if (this.shippingFails) throw new Error("shipping fails");
    for (const record of records) {
      const known = this.shipped.some((one) => one.requestId === record.requestId);
      this.shipped.push(record);
      if (!known) this.#capture(record);
    }
  }

  onChange(listener: (what: string) => void) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #capture(record: GatewayUsage): void {
    const price = this.offers.find((one) => one.price.versionId === record.priceVersionId)?.price;
    if (!price) return;
    const charge =
      (BigInt(record.promptTokens - record.cachedTokens) * price.inputNanosPerMillion +
        BigInt(record.cachedTokens) * price.cachedNanosPerMillion +
        BigInt(record.completionTokens) * price.outputNanosPerMillion) /
      1_000_000n;
    const slice = record.sliceId === null ? undefined : this.slices.get(record.sliceId);
    const room = !slice || slice.closed ? 0n : slice.amountNanos - slice.capturedNanos;
    const captured = charge < room ? charge : room;
    if (slice) slice.capturedNanos += captured;
    this.uncoveredNanos += charge - captured;
  }

  #look(what: "routes" | "keys" | "leases"): void {
    this.calls[what]++;
    this.#alive();
  }

  #alive(): void {
    if (this.down) throw new Error("the database is not there");
  }
}

interface Wanted {
  readonly sliceId?: string;
  readonly userId: string;
  readonly wantNanos: bigint;
  readonly purpose?: SlicePurpose;
}

function subjectsOf({ keyId, modelId, servedName }: SlicePurpose): readonly string[] {
  return [`key:${keyId}`, `model:${modelId}`, `catalog:${servedName}`];
}

function budgetExceeded(subject: string, neededNanos: bigint, availableNanos: bigint): StatusError {
  const colon = subject.indexOf(":");
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "BUDGET_EXCEEDED",
    message: "The budget has too little left.",
    metadata: {
      ...{ budget: subject.slice(0, colon), subject: subject.slice(colon + 1), period: "day" },
      ...{ needed: decimal(neededNanos), available: decimal(availableNanos), currency: "USD" },
      resets_at: "2030-01-02T00:00:00.000Z",
    },
  });
}

export function balanceTooLow(neededNanos: bigint, availableNanos: bigint): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "BALANCE_TOO_LOW",
    message: "The balance is too low.",
    metadata: { needed: decimal(neededNanos), available: decimal(availableNanos), currency: "USD" },
  });
}

/** As the real ledger tells amounts: units of the currency. */
function decimal(nanos: bigint): string {
  return `${nanos / 1_000_000_000n}.${String(nanos % 1_000_000_000n).padStart(9, "0")}`;
}
