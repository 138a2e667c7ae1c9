/**
 * A gateway as far as money goes: the real purse, a disk whose records outlive a crash, and requests that take their time. What it asks
 * of the ledger goes through the history's network.
 */
import type { Clock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import type { Step } from "../base/steps.ts";
import type { UsageRecord } from "../billing/index.ts";
import { GATEWAY_LIMITS, type Reservation } from "../gateway/index.ts";
import { boundedFor } from "./budgets.ts";
import type { PurseOnTrial } from "./subject.ts";
import type { TrueRequest } from "./truth.ts";
import type { World } from "./world.ts";

/** The disk of a gateway: survives its crash, and may be lost. */
export type Disk = UsageRecord[];

/** What somebody asks for. */
export interface Wish {
  readonly userId: string;
  readonly keyId: string | null;
  readonly tokensMax: number;
  readonly durationMs: number;
}

export interface Running {
  readonly request: TrueRequest;
  readonly reservation: Reservation;
  /** Tokens that its bound pays for. */
  readonly tokensMax: number;
}

/** Records in one shipment: small, so that a disk is emptied in several. */
const SHIP_MAX = 4;
/** Each gateway counts its own time from somewhere. */
const ORIGINS_APART_MS = 1_000_000;

export class Gateway {
  readonly name: string;
  readonly gatewayId: string;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly running: Running[] = [];
  /** Ended requests whose record is not on the disk yet. */
  readonly ending: { readonly one: Running; readonly record: UsageRecord }[] = [];
  alive = true;
  /** Stands still: nothing of it moves until it is woken. */
  frozen = false;
  /** Another process has its disk. */
  replaced = false;
  /** The crash that waits for it, at a named step. */
  killAt: Step | undefined;
  readonly #world: World;
  readonly #purse: PurseOnTrial;
  #shipping: Promise<boolean> | undefined;
  #tidying: Promise<void> | undefined;

  constructor(world: World, name: string, disk: Disk, skewMs: number, number: number) {
    this.#world = world;
    this.name = name;
    this.disk = disk;
    this.gatewayId = world.ctx.random.uuid();
    const origin = number * ORIGINS_APART_MS;
    this.clock = {
      now: () => new Date(world.clock.now().getTime() + skewMs),
      monotonicMs: () => world.clock.monotonicMs() + origin,
      sleep: () => Promise.reject(new Error("a purse waits for nothing but the ledger")),
    };
    this.#purse = world.subject.purse(this.#deps(), () => this.ship());
  }

  /** Asks for money and begins; throws what the client would be told. */
  async ask({ userId, keyId, tokensMax, durationMs }: Wish): Promise<void> {
    const bound = this.#world.boundOf(tokensMax);
    const deadlineAt = this.clock.monotonicMs() + durationMs;
    const reservation = await this.#purse.reserve(
      userId,
      bound,
      deadlineAt,
      boundedFor(this.#world, userId, keyId),
    );
    if (!this.alive) throw new Error("dead");
    const { sliceId, amountNanos: boundNanos } = reservation;
    const request = this.#world.truth.began({
      id: `req-${this.#world.ctx.random.uuid()}`,
      userId,
      sliceId,
      keyId,
      boundNanos,
    });
    this.running.push({ request, reservation, tokensMax });
    this.#world.story.tell(`${this.name} begins ${request.id} of at most ${boundNanos} under ${sliceId}`);
  }

  /** A request is over: it costs so many tokens, and its record is about to be written. */
  end(one: Running, tokens: number): void {
    this.running.splice(this.running.indexOf(one), 1);
    one.request.costNanos = this.#world.costOf(tokens);
    one.request.state = "ending";
    one.reservation.settle(one.request.costNanos, true);
    this.ending.push({ one, record: this.#record(one, tokens) });
  }

  /** The oldest record reaches the disk and its answer the client; or the disk refuses it, and the answer is withheld. */
  write(fails: boolean): void {
    const ended = this.ending.shift();
    if (!ended) return;
    const { one, record } = ended;
    if (fails) {
      this.#world.story.fault(`the disk of ${this.name} refuses ${one.request.id}`);
      one.request.state = "cut";
      one.reservation.unlogged();
      return;
    }
    this.disk.push(record);
    one.request.state = "written";
    this.#world.story.counts.served++;
    this.#world.story.tell(`${this.name} served ${one.request.id} for ${one.request.costNanos}`);
  }

  writeAll(): void {
    while (this.ending.length > 0) this.write(false);
  }

  /** As the usage log does it: callers share a shipment, and one that began before the last record is not enough. */
  async ship(): Promise<boolean> {
    await this.#shipping;
    this.#shipping ??= this.#shipNow()
      .catch(() => false)
      .finally(() => {
        this.#shipping = undefined;
      });
    return this.#shipping;
  }

  tick(): void {
    if (!this.alive || this.frozen) return;
    this.#tidying ??= this.#purse
      .tidy()
      .catch(() => {})
      .finally(() => {
        this.#tidying = undefined;
      });
    void this.ship();
  }

  recall(sliceId: string): void {
    this.#purse.recall(sliceId);
  }

  /** Dies where it stands. What runs is cut off; what is on the disk stays. */
  crash(why: string): void {
    if (!this.alive) return;
    this.alive = false;
    this.#world.story.fault(`${this.name} dies ${why}`);
    for (const { request } of [...this.running, ...this.ending.map(({ one }) => one)]) request.state = "cut";
    this.running.length = 0;
    this.ending.length = 0;
  }

  async #shipNow(): Promise<boolean> {
    while (this.disk.length > 0) {
      const batch = this.disk.slice(0, SHIP_MAX);
      try {
        await this.#world.shipUsage(this, batch);
      } catch {
        return false;
      }
      // A dead process does not remove what it shipped.
      if (!this.alive) return false;
      this.#reach("gateway.usage-shipped");
      this.disk.splice(0, batch.length);
      this.#purse.shipped(batch.flatMap(({ sliceId }) => (sliceId === null ? [] : [sliceId])));
    }
    return true;
  }

  #reach(step: Step): void {
    if (this.killAt !== step || !this.alive) return;
    this.crash(`at ${step}`);
    throw new Error("dead");
  }

  #deps(): Parameters<World["subject"]["purse"]>[0] {
    return {
      clock: this.clock,
      log: silentLog,
      random: this.#world.ctx.random,
      steps: { reach: (step) => this.#reach(step) },
      limits: GATEWAY_LIMITS,
      control: {
        leaseSlice: (input) => this.#world.lease(this, input),
        closeSlice: (sliceId) => this.#world.close(this, sliceId),
      },
    };
  }

  #record({ request }: Running, tokens: number): UsageRecord {
    const at = this.clock.now();
    return {
      requestId: request.id,
      gatewayId: this.gatewayId,
      modelId: this.#world.ground.modelId,
      servedName: this.#world.ground.servedName,
      userId: request.userId,
      keyId: request.keyId,
      sliceId: request.sliceId,
      priceVersionId: this.#world.ground.tokenPrice.versionId,
      promptTokens: 0,
      cachedTokens: 0,
      completionTokens: tokens,
      estimated: false,
      outcome: "ok",
      startedAt: at,
      endedAt: at,
      ttftMs: null,
    };
  }
}
