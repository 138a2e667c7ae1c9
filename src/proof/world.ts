/** One history's world: its time, its luck, its gateways and what they ask of the ledger. */
import type { Chance } from "../base/chance.ts";
import type { Clock } from "../base/clock.ts";
import { nanosForTokens } from "../base/money.ts";
import { StatusError } from "../base/status.ts";
import { attachCard, grantCredit, testPayments, topUp, type UsageRecord } from "../billing/index.ts";
import type { DbCtx } from "../db/db.ts";
import type { LeasedSlice, PurseDeps } from "../gateway/index.ts";
import { createUser } from "../identity/index.ts";
import { CLOCK_SKEW_MAX_MS } from "./bounds.ts";
import type { TrueBudget } from "./budgets.ts";
import { Gateway } from "./gateway.ts";
import { CURRENCY, type Ground, START } from "./ground.ts";
import { Network } from "./network.ts";
import type { BooksOfUser } from "./store.ts";
import { Story } from "./story.ts";
import type { Subject } from "./subject.ts";
import { Truth } from "./truth.ts";

/**
 * calm: every call arrives and is answered. rough: calls and answers are lost, repeated, and not heard. stormy: calls arrive after their
 * callers have given up, processes die or stand still, disks are lost.
 */
export type Weather = "calm" | "rough" | "stormy";

/** Nobody asks for the same lease again: a purse that hears nothing closes it by its name. */
const LEASE = "a lease";
/** A recall that a gateway does not hear: its listening connection is just being made anew. */
const RECALL_LOST = 0.1;

type LeaseWish = Parameters<PurseDeps["control"]["leaseSlice"]>[0];

export class World {
  readonly ground: Ground;
  readonly subject: Subject;
  readonly chance: Chance;
  readonly weather: Weather;
  readonly truth = new Truth();
  readonly story: Story;
  readonly network: Network;
  readonly clock: Clock;
  readonly ctx: DbCtx;
  readonly users: string[] = [];
  readonly gateways: Gateway[] = [];
  readonly budgets: TrueBudget[] = [];
  /** What the books said of each user at the last look. */
  readonly books = new Map<string, BooksOfUser>();
  /** Looks at who was refused just now; to be called before time goes on. */
  judge: () => Promise<void> = async () => {};
  /** Something reached the books since the last look. */
  moved = true;
  #ms = 0;
  #lives = 0;

  constructor(ground: Ground, subject: Subject, chance: Chance, weather: Weather) {
    this.ground = ground;
    this.subject = subject;
    this.chance = chance;
    this.weather = weather;
    this.story = new Story(() => this.#ms);
    this.network = new Network(chance, this.story);
    this.network.faults = weather !== "calm";
    this.network.lateFaults = this.stormy;
    this.clock = {
      now: () => new Date(START.getTime() + this.#ms),
      monotonicMs: () => this.#ms,
      sleep: () => Promise.reject(new Error("a history's time passes by itself")),
    };
    this.ctx = { ...ground.base, db: ground.db, clock: this.clock };
  }

  get stormy(): boolean {
    return this.weather === "stormy";
  }

  get nowMs(): number {
    return this.#ms;
  }

  advance(ms: number): void {
    this.#ms += ms;
  }

  live(): readonly Gateway[] {
    return this.gateways.filter((gateway) => gateway.alive && !gateway.frozen);
  }

  /** A new process on a new or an old disk, whose host's clock is a little off. */
  startGateway(disk: UsageRecord[]): Gateway {
    const number = ++this.#lives;
    const skewMs = this.chance.between("skew", -CLOCK_SKEW_MAX_MS, CLOCK_SKEW_MAX_MS);
    const gateway = new Gateway(this, `gateway-${number}`, disk, skewMs, number);
    this.gateways.push(gateway);
    this.story.tell(`${gateway.name} starts with ${disk.length} records on its disk`);
    return gateway;
  }

  replaceGateway(dead: Gateway, disk: UsageRecord[]): void {
    dead.replaced = true;
    this.startGateway(disk);
  }

  async addUser(cents: number): Promise<void> {
    const { id } = await createUser(this.ctx, { displayName: "payer" });
    await attachCard(this.ctx, testPayments(), { userId: id, cardId: "pm_card_visa" });
    this.users.push(id);
    await this.pay(id, cents);
  }

  async pay(userId: string, cents: number): Promise<void> {
    const nanos = BigInt(cents) * 10_000_000n;
    const key = this.ctx.random.uuid();
    await topUp(this.ctx, testPayments(), { userId, money: { currency: CURRENCY, nanos }, cardId: "", key });
    this.truth.pay(userId, nanos);
    this.moved = true;
    this.story.tell(`${userId} pays ${nanos}`);
  }

  /** Credit is spent before what was paid, and counts as paid: somebody answers for it. */
  async grant(userId: string, cents: number, forMs: number | undefined): Promise<void> {
    const nanos = BigInt(cents) * 10_000_000n;
    const { operatorId } = this.ground;
    const amount = { currency: CURRENCY, nanos };
    const expiresAt = forMs === undefined ? null : new Date(this.clock.now().getTime() + forMs);
    const key = this.ctx.random.uuid();
    await grantCredit(this.ctx, { operatorId, userId, amount, reason: "proof", key, expiresAt });
    this.truth.pay(userId, nanos);
    this.moved = true;
    this.story.tell(`${userId} is granted ${nanos} until ${expiresAt?.toISOString() ?? "it is spent"}`);
  }

  /** As the gateway reserves it: rounded up by one, so that the floor of what is served never exceeds it. */
  boundOf(tokensMax: number): bigint {
    return this.costOf(tokensMax) + 1n;
  }

  costOf(tokens: number): bigint {
    return nanosForTokens([
      { tokens: BigInt(tokens), nanosPerMillion: this.ground.tokenPrice.outputNanosPerMillion },
    ]);
  }

  /** Tokens that so much money pays for. */
  tokensFor(nanos: bigint): number {
    return nanos <= 1n
      ? 0
      : Number(((nanos - 1n) * 1_000_000n) / this.ground.tokenPrice.outputNanosPerMillion);
  }

  /** The user's money that is neither spent nor promised: wherever it lies, a request should get it. */
  freeOf(userId: string): bigint {
    const books = this.books.get(userId);
    if (!books) return 0n;
    const { truth } = this;
    return (
      books.paid -
      books.expired -
      books.gpu -
      books.gpuHeld -
      truth.tokensOf(userId) -
      truth.runningOf(userId)
    );
  }

  /** Nothing is under way, held, or unshipped. */
  isAtRest(): boolean {
    const quiet =
      this.network.size === 0 && this.live().every(({ disk, running }) => disk.length + running.length === 0);
    return quiet && [...this.books.values()].every(({ held }) => held === 0n);
  }

  lease(gateway: Gateway, input: LeaseWish): Promise<LeasedSlice> {
    const now = gateway.clock.now();
    const { gatewayId } = gateway;
    return this.#send(gateway, LEASE, async () => {
      try {
        const slice = await this.subject.leaseSlice(this.ctx, {
          ...input,
          gatewayId,
          currency: CURRENCY,
          now,
        });
        const { sliceId, amountNanos } = slice;
        this.truth.leased(sliceId, { ...input, amountNanos, leasedAtMs: now.getTime() });
        this.story.tell(`${gateway.name} is leased ${amountNanos} as ${sliceId}`);
        return slice;
      } catch (error) {
        if (isShort(error)) this.#recall(input, isTooLow(error));
        throw error;
      }
    });
  }

  close(gateway: Gateway, sliceId: string): Promise<void> {
    const { gatewayId } = gateway;
    return this.#send(gateway, "a close", async () => {
      await this.subject.closeSlice(this.ctx, { gatewayId, sliceId, now: this.clock.now() });
      this.truth.closed(sliceId);
      this.story.tell(`${gateway.name} gave back ${sliceId}`);
    });
  }

  shipUsage(gateway: Gateway, records: readonly UsageRecord[]): Promise<void> {
    return this.#send(gateway, "a shipment", async () => {
      await this.subject.ingestUsage(this.ctx, records);
      for (const { requestId } of records) this.truth.delivered(requestId);
      this.story.tell(`${records.length} records of ${gateway.name} are in the ledger`);
    });
  }

  /** What workers do once a minute. */
  async settle(): Promise<void> {
    const now = this.clock.now();
    const settled = await this.subject.settleSlices(this.ctx, { now });
    const expired = await this.subject.expireCredit(this.ctx);
    if (settled + expired > 0) this.moved = true;
    this.truth.settled(now.getTime());
  }

  /** A dead process asks for nothing. */
  #send<T>(gateway: Gateway, what: string, work: () => Promise<T>): Promise<T> {
    if (!gateway.alive) return new Promise<T>(() => {});
    return this.network.send(gateway, what, what !== LEASE, () => {
      this.moved = true;
      return work();
    });
  }

  /** The ledger asks all gateways to give back what they have of a user, or of what the same budget may bound. */
  #recall({ userId, purpose }: LeaseWish, all: boolean): void {
    for (const gateway of this.live()) {
      if (this.network.faults && this.chance.happens("recall lost", RECALL_LOST)) {
        this.story.fault(`${gateway.name} does not hear a recall`);
        continue;
      }
      for (const [sliceId, slice] of this.truth.slices)
        if (slice.userId === userId && (all || shares(slice.purpose, purpose))) gateway.recall(sliceId);
    }
  }
}

function shares(one: LeaseWish["purpose"], other: LeaseWish["purpose"]): boolean {
  if (!one || !other) return false;
  const kinds = ["keyId", "modelId", "servedName"] as const;
  return kinds.some((kind) => one[kind] !== null && one[kind] === other[kind]);
}

/** The balance is too low, or a budget. */
export function isShort(error: unknown): boolean {
  return (
    error instanceof StatusError && (error.reason === "BALANCE_TOO_LOW" || error.reason === "BUDGET_EXCEEDED")
  );
}

function isTooLow(error: unknown): boolean {
  return error instanceof StatusError && error.reason === "BALANCE_TOO_LOW";
}
