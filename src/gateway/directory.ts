/** What this gateway knows of routes and keys: read when first asked for, read again in the background, dropped when told. */
import type { InferenceKey } from "../identity/index.ts";
import { refused } from "./openai-error.ts";
import type { GatewayDeps, GatewayRoute } from "./ports.ts";

interface Entry<T> {
  value: T | undefined;
  /** Monotonic time of the last answer from the database. */
  readAt: number;
  reading: Promise<void> | undefined;
  /** Told to be out of date: the next user waits for the new reading. */
  dropped: boolean;
}

type Load<T> = (id: string) => Promise<T | undefined>;

/** One kind of known thing. The map's order is the order of use, so the first entry is the one to forget. */
class Known<T> {
  readonly #deps: GatewayDeps;
  readonly #load: Load<T>;
  readonly #budget: Budget;
  readonly #entries = new Map<string, Entry<T>>();

  constructor(deps: GatewayDeps, budget: Budget, load: Load<T>) {
    this.#deps = deps;
    this.#budget = budget;
    this.#load = load;
  }

  /** The value at once where it is known and good; else a promise of it. */
  get(id: string): T | undefined | Promise<T | undefined> {
    const { clock, limits } = this.#deps;
    const entry = this.#entries.get(id);
    if (!entry) return this.#first(id);
    const age = clock.monotonicMs() - entry.readAt;
    if (entry.dropped) return this.#again(id, entry);
    if (age > limits.freshMs) void this.#read(id, entry);
    if (age > limits.staleMs) return this.#again(id, entry);
    return entry.value;
  }

  /** Forgets nothing, but lets nobody use what was known before the next reading. */
  drop(matches: (value: T | undefined, id: string) => boolean): void {
    for (const [id, entry] of this.#entries) if (matches(entry.value, id)) entry.dropped = true;
  }

  async #first(id: string): Promise<T | undefined> {
    this.#budget.take();
    const entry: Entry<T> = {
      value: undefined,
      readAt: Number.NEGATIVE_INFINITY,
      reading: undefined,
      dropped: true,
    };
    this.#entries.set(id, entry);
    this.#forgetOldest();
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

  #read(id: string, entry: Entry<T>): Promise<void> {
    entry.reading ??= this.#readNow(id, entry).finally(() => {
      entry.reading = undefined;
    });
    return entry.reading;
  }

  async #readNow(id: string, entry: Entry<T>): Promise<void> {
    entry.dropped = false; // a change that is told while we read makes it true again, and the next user reads anew
    try {
      entry.value = await this.#load(id);
      entry.readAt = this.#deps.clock.monotonicMs();
      this.#entries.delete(id);
      this.#entries.set(id, entry);
    } catch (error) {
      this.#deps.log.warn({ err: error }, "a route or key could not be read; what is known goes on serving");
    }
  }

  #forgetOldest(): void {
    if (this.#entries.size <= this.#deps.limits.cacheEntriesMax) return;
    const oldest = this.#entries.keys().next();
    if (!oldest.done) this.#entries.delete(oldest.value);
  }
}

/** Bounds how often unknown names and keys may reach the database: guessing must not be a way to load it. */
class Budget {
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

export class Directory {
  readonly #known: {
    readonly model: Known<GatewayRoute>;
    readonly name: Known<GatewayRoute>;
    readonly key: Known<InferenceKey>;
  };
  readonly #ofOwner: Known<readonly GatewayRoute[]>;
  readonly #stop: () => void;

  constructor(deps: GatewayDeps) {
    const { control } = deps;
    const budget = new Budget(deps);
    this.#known = {
      model: new Known(deps, budget, async (id) => (await control.routesByModelId([id]))[0]),
      name: new Known(deps, budget, async (name) => (await control.routesByServedName([name]))[0]),
      key: new Known(deps, budget, (hash) => control.keyByHash(Buffer.from(hash, "base64"))),
    };
    this.#ofOwner = new Known(deps, budget, (userId) => control.routesOfOwner(userId));
    this.#stop = control.onChange((what) => this.#changed(what));
  }

  model(id: string): GatewayRoute | undefined | Promise<GatewayRoute | undefined> {
    return this.#known.model.get(id);
  }

  name(name: string): GatewayRoute | undefined | Promise<GatewayRoute | undefined> {
    return this.#known.name.get(name);
  }

  key(hash: Buffer): InferenceKey | undefined | Promise<InferenceKey | undefined> {
    return this.#known.key.get(hash.toString("base64"));
  }

  async ofOwner(userId: string): Promise<readonly GatewayRoute[]> {
    return (await this.#ofOwner.get(userId)) ?? [];
  }

  close(): void {
    this.#stop();
  }

  #changed(what: string): void {
    const colon = what.indexOf(":");
    const kind = what.slice(0, colon);
    const id = what.slice(colon + 1);
    const all = what === "";
    if (all || kind === "model") {
      // A name that was not known may be this model's; a list of an owner's models may have it or lose it.
      this.#known.model.drop((value, key) => all || key === id || value?.modelId === id);
      this.#known.name.drop((value) => all || value === undefined || value.modelId === id);
      this.#ofOwner.drop(() => true);
    }
    if (all || kind === "key")
      this.#known.key.drop((value) => all || value === undefined || value.keyId === id);
    if (kind === "user") {
      this.#known.key.drop((value) => value?.userId === id);
      this.#ofOwner.drop((_, key) => key === id);
    }
  }
}
