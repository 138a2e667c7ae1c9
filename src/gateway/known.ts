/** Things that are read when first asked for, read again while they are used, and read anew when told that they changed. */
import { refused } from "./openai-error.ts";
import type { GatewayDeps } from "./ports.ts";

interface Entry<T> {
  value: T | undefined;
  /** Monotonic time of the last answer from the database. */
  readAt: number;
  reading: Promise<void> | undefined;
  /** Told to be out of date, or never read: nobody uses it before it is read. */
  dropped: boolean;
  /** Monotonic time before which it is not read again, since the last reading failed. */
  notBefore: number;
}

type Load<T> = (id: string) => Promise<T | undefined>;

/** Unknown ids are remembered too, but never in the place of known ones: this part of the room is theirs. */
const UNKNOWN_SHARE = 0.1;

/** One kind of thing, by id. */
export class Known<T> {
  readonly #deps: GatewayDeps;
  readonly #load: Load<T>;
  readonly #budget: Budget;
  /** The maps' order is the order of the last reading: what was not read for longest is forgotten first. */
  readonly #entries = new Map<string, Entry<T>>();
  readonly #unknown = new Map<string, Entry<T>>();

  constructor(deps: GatewayDeps, budget: Budget, load: Load<T>) {
    this.#deps = deps;
    this.#budget = budget;
    this.#load = load;
  }

  /**
   * The value at once where it is known and fresh; else a promise of it. Rejects with UNAVAILABLE when it can't be read and is
   * too old to go on with, with RATE_LIMITED when too many unknown ids are asked for.
   */
  get(id: string): T | undefined | Promise<T | undefined> {
    const { clock, limits } = this.#deps;
    const entry = this.#entries.get(id);
    if (!entry) return this.#getUnknown(id);
    const age = clock.monotonicMs() - entry.readAt;
    if (entry.dropped || age > limits.freshMs * 2) return this.#again(id, entry);
    if (age > limits.freshMs) void this.#read(id, entry);
    return entry.value;
  }

  /** Forgets nothing, but lets nobody use what was known before the next reading. */
  drop(matches: (value: T | undefined, id: string) => boolean): void {
    for (const map of [this.#entries, this.#unknown])
      for (const [id, entry] of map) if (matches(entry.value, id)) entry.dropped = true;
  }

  #getUnknown(id: string): undefined | Promise<T | undefined> {
    const { clock, limits } = this.#deps;
    let entry = this.#unknown.get(id);
    if (entry?.reading) return this.#again(id, entry);
    if (entry && !entry.dropped && clock.monotonicMs() - entry.readAt <= limits.freshMs) return undefined;
    this.#budget.take();
    entry ??= {
      value: undefined,
      readAt: Number.NEGATIVE_INFINITY,
      reading: undefined,
      dropped: true,
      notBefore: Number.NEGATIVE_INFINITY,
    };
    this.#keep(this.#unknown, id, entry, limits.cacheEntriesMax * UNKNOWN_SHARE);
    return this.#again(id, entry);
  }

  async #again(id: string, entry: Entry<T>): Promise<T | undefined> {
    await this.#read(id, entry);
    const age = this.#deps.clock.monotonicMs() - entry.readAt;
    if (age <= this.#deps.limits.staleMs) return entry.value;
    throw refused("UNAVAILABLE", "Keys and models can't be looked up at the moment. Try again shortly.", {
      retryAfterMs: 2_000,
    });
  }

  /** Readings of one id are shared, and a failed one is not repeated at once: a database in trouble is not pressed. */
  async #read(id: string, entry: Entry<T>): Promise<void> {
    if (this.#deps.clock.monotonicMs() < entry.notBefore) return;
    entry.reading ??= this.#readNow(id, entry).finally(() => {
      entry.reading = undefined;
    });
    await entry.reading;
  }

  async #readNow(id: string, entry: Entry<T>): Promise<void> {
    const { clock, limits, log } = this.#deps;
    const wasDropped = entry.dropped;
    entry.dropped = false; // a change that is told while we read makes it true again, and the next user reads anew
    try {
      entry.value = await this.#inTime(this.#load(id));
      entry.readAt = clock.monotonicMs();
      this.#entries.delete(id);
      this.#unknown.delete(id);
      if (entry.value === undefined)
        this.#keep(this.#unknown, id, entry, limits.cacheEntriesMax * UNKNOWN_SHARE);
      else this.#keep(this.#entries, id, entry, limits.cacheEntriesMax);
    } catch (error) {
      entry.dropped ||= wasDropped;
      entry.notBefore = clock.monotonicMs() + limits.rereadMs;
      log.warn({ err: error }, "a route or key could not be read; what is known goes on serving");
    }
  }

  async #inTime(loading: Promise<T | undefined>): Promise<T | undefined> {
    const { clock, limits } = this.#deps;
    const done = new AbortController();
    const late = clock.sleep(limits.lookupMs, done.signal).then(
      () => Promise.reject(new Error("the database did not answer in time")),
      () => undefined,
    );
    try {
      return await Promise.race([loading, late]);
    } finally {
      done.abort();
    }
  }

  #keep(map: Map<string, Entry<T>>, id: string, entry: Entry<T>, max: number): void {
    map.set(id, entry);
    if (map.size <= max) return;
    const oldest = map.keys().next();
    if (!oldest.done) map.delete(oldest.value);
  }
}

/** Bounds how often unknown ids may reach the database: guessing must not be a way to load it. */
export class Budget {
  readonly #deps: GatewayDeps;
  #left: number;
  #filledAt: number;

  constructor(deps: GatewayDeps) {
    this.#deps = deps;
    this.#left = deps.limits.unknownPerSecond;
    this.#filledAt = deps.clock.monotonicMs();
  }

  take(): void {
    const { clock, limits } = this.#deps;
    const now = clock.monotonicMs();
    const refill = ((now - this.#filledAt) / 1_000) * limits.unknownPerSecond;
    this.#left = Math.min(limits.unknownPerSecond, this.#left + refill);
    this.#filledAt = now;
    if (this.#left < 1) {
      throw refused("RATE_LIMITED", "Too many requests with unknown keys or models. Try again shortly.", {
        retryAfterMs: 1_000,
      });
    }
    this.#left--;
  }
}
