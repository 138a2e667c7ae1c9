/** The replicas that this gateway sends to: their connections, what runs on them, and who is left alone after failures. */
import type { GatewayDeps, GatewayRoute, RouteReplica } from "./ports.ts";
import { type Choice, choose, type Load, PrefixMemory } from "./prefix.ts";
import { Pool } from "./upstream/pool.ts";

/** Failures in a row after which a replica is left alone. */
const TRIPS_AT = 3;
const OPEN_MS = 2_000;
const OPEN_MAX_MS = 30_000;
/** Replicas that nobody was sent to for so long are forgotten with their connections. */
const FORGET_MS = 120_000;

interface Known extends Load {
  readonly pool: Pool;
  failures: number;
  openUntil: number;
  usedAt: number;
}

export class Replicas {
  readonly #deps: GatewayDeps;
  readonly #known = new Map<string, Known>();
  readonly #memories = new Map<string, PrefixMemory>();
  #turn = 0;

  constructor(deps: GatewayDeps) {
    this.#deps = deps;
  }

  /** Undefined when every replica is left out, left alone or not there. */
  choose(
    route: GatewayRoute,
    prompt: { readonly hashes: readonly number[]; readonly chars: number },
    without: ReadonlySet<string>,
  ): Choice | undefined {
    const now = this.#deps.clock.monotonicMs();
    const able = route.replicas.filter(
      (replica) => !without.has(replica.replicaId) && this.#of(replica).openUntil <= now,
    );
    // When all are left alone, one is tried all the same: the breaker must not be what keeps a model down.
    const from = able.length > 0 ? able : route.replicas.filter((replica) => !without.has(replica.replicaId));
    this.#turn++;
    const memory = this.#memory(route.modelId);
    const only = from.length === 1 ? from[0] : undefined;
    if (only) return { replica: only, chars: prompt.chars };
    const choice = choose(
      from,
      (id) => this.#known.get(id) ?? { active: 0, chars: 0 },
      memory,
      prompt,
      this.#turn,
    );
    if (choice) memory.remember(prompt.hashes, choice.replica.replicaId);
    return choice;
  }

  pool(replica: RouteReplica): Pool {
    return this.#of(replica).pool;
  }

  began(choice: Choice): void {
    const known = this.#of(choice.replica);
    known.active++;
    known.chars += choice.chars;
    known.usedAt = this.#deps.clock.monotonicMs();
  }

  ended(choice: Choice, well: boolean): void {
    const known = this.#of(choice.replica);
    known.active--;
    known.chars -= choice.chars;
    known.failures = well ? 0 : known.failures + 1;
    if (known.failures < TRIPS_AT) return;
    const open = Math.min(OPEN_MS * 2 ** (known.failures - TRIPS_AT), OPEN_MAX_MS);
    known.openUntil = this.#deps.clock.monotonicMs() + open;
  }

  active(): number {
    let sum = 0;
    for (const known of this.#known.values()) sum += known.active;
    return sum;
  }

  /** Forgets replicas that nobody uses any more. */
  tidy(): void {
    const before = this.#deps.clock.monotonicMs() - FORGET_MS;
    for (const [id, known] of this.#known) {
      if (known.active > 0 || known.usedAt > before) continue;
      known.pool.close();
      this.#known.delete(id);
    }
  }

  close(): void {
    for (const known of this.#known.values()) known.pool.close();
    this.#known.clear();
  }

  #of(replica: RouteReplica): Known {
    let known = this.#known.get(replica.replicaId);
    if (!known) {
      const pool = new Pool(replica, this.#deps.limits.idleConnectionsMax);
      known = {
        pool,
        active: 0,
        chars: 0,
        failures: 0,
        openUntil: 0,
        usedAt: this.#deps.clock.monotonicMs(),
      };
      this.#known.set(replica.replicaId, known);
    }
    return known;
  }

  #memory(modelId: string): PrefixMemory {
    let memory = this.#memories.get(modelId);
    if (!memory) {
      memory = new PrefixMemory();
      this.#memories.set(modelId, memory);
    }
    return memory;
  }
}
