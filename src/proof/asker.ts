/** Somebody who asks again and again until there is money: how long were they refused though there was? */
import { REFUSED_AFTER_LOSS_MAX_MS, REFUSED_MAX_MS } from "./bounds.ts";
import { keyOf, roomFor } from "./budgets.ts";
import type { Gateway, Wish } from "./gateway.ts";
import { Breach } from "./story.ts";
import { isShort, type World } from "./world.ts";

interface Asked extends Wish {
  readonly boundNanos: bigint;
  /** Since when it is refused and the free money was enough all the time. */
  sinceMs: number | undefined;
}

/** Requests of those who ask again are short: they must not be what they wait for. */
const DURATION_MS = 5_000;

export class Asker {
  /** Longest time of a refusal while the money was free and nothing went wrong. */
  refusedMaxMs = 0;
  /** Wishes that were granted. */
  granted = 0;
  readonly #world: World;
  #wish: Asked | undefined;
  /** Refused in this step, to be judged at its end. */
  #refused: { readonly asked: Wish; readonly boundNanos: bigint; readonly wish: Asked | undefined }[] = [];
  #asked: Gateway | undefined;

  constructor(world: World) {
    this.#world = world;
  }

  /** Wishes for a good part of what is free, or for what was refused before, of some gateway. */
  again(gateway: Gateway, share: number): void {
    if (this.#asked?.alive) return;
    // What is not there any more can't be waited for.
    if (this.#wish && roomFor(this.#world, this.#wish) < this.#wish.boundNanos) this.#wish = undefined;
    this.#wish ??= this.#newWish(share);
    const wish = this.#wish;
    if (!wish) return;
    this.#asked = gateway;
    gateway
      .ask(wish)
      .then(
        () => {
          this.granted++;
          this.#wish = undefined;
        },
        (error: unknown) => this.refused(error, wish, wish),
      )
      .finally(() => {
        this.#asked = undefined;
      });
  }

  /** Asked for something and did not get it yet. */
  get waits(): boolean {
    return this.#wish !== undefined;
  }

  /** Somebody was refused in this step. */
  get isRefused(): boolean {
    return this.#refused.length > 0;
  }

  /** A request of anybody was refused: for want of money, or because the ledger could not be asked. */
  refused(error: unknown, asked: Wish, wish?: Asked): void {
    const boundNanos = this.#world.boundOf(asked.tokensMax);
    if (error instanceof Breach) return;
    this.#world.story.counts.refused++;
    this.#world.story.tell(
      `${boundNanos} for ${asked.keyId ?? asked.userId} is refused: ${error instanceof Error ? error.message : String(error)}`,
    );
    if (isShort(error)) this.#refused.push({ asked, boundNanos, wish });
  }

  /** At the end of each step, with the books at hand. */
  judge(): void {
    const wish = this.#wish;
    // Others may have taken meanwhile what would have been enough.
    if (wish && roomFor(this.#world, wish) < wish.boundNanos) wish.sinceMs = undefined;
    for (const one of this.#refused.splice(0)) {
      if (roomFor(this.#world, one.asked) < one.boundNanos) continue;
      this.#world.story.counts.refusedWhileFree++;
      if (one.wish) this.#measure(one.wish);
    }
  }

  #measure(wish: Asked): void {
    const { nowMs, stormy, story } = this.#world;
    wish.sinceMs ??= nowMs;
    const forMs = nowMs - Math.max(wish.sinceMs, story.lastFaultMs);
    this.refusedMaxMs = Math.max(this.refusedMaxMs, forMs);
    const boundMs = stormy ? REFUSED_AFTER_LOSS_MAX_MS : REFUSED_MAX_MS;
    if (forMs > boundMs)
      throw new Breach(`refused for ${forMs} ms while ${roomFor(this.#world, wish)} nanos were free`);
  }

  #newWish(share: number): Asked | undefined {
    const userId = this.#world.chance.pick("wishes", this.#world.users);
    const keyId = keyOf(this.#world, userId);
    const free = roomFor(this.#world, { userId, keyId });
    const tokensMax = this.#world.tokensFor((free * BigInt(Math.round(share * 1_000))) / 1_000n);
    if (tokensMax < 1) return undefined;
    const boundNanos = this.#world.boundOf(tokensMax);
    return { userId, keyId, tokensMax, durationMs: DURATION_MS, boundNanos, sinceMs: undefined };
  }
}
