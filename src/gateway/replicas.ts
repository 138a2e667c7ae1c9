/** The replicas that this gateway sends to: their connections, what runs on them, and who is left alone after failures. */
import type { GatewayDeps, GatewayRoute, RouteReplica } from "./ports.ts";
import { type Choice, choose, type Load, PrefixMemory, type Prompt } from "./prefix.ts";
import type { Verdict } from "./relay.ts";
import { Pool } from "./upstream/pool.ts";

/** Failures in a row after which a replica is left alone. */
const TRIPS_AT = 3;
const OPEN_MS = 2_000;
const OPEN_MAX_MS = 30_000;
/** Replicas that nobody was sent to for so long are forgotten with their connections, and models with their prefixes. */
const FORGET_MS = 120_000;

interface Known extends Load {
  readonly replica: RouteReplica;
  readonly pool: Pool;
  failures: number;
  openUntil: number;
  usedAt: number;
}

/** A replica that was chosen for one request, and the books that the request is kept in until it ends. */
export interface Chosen extends Choice {
  readonly known: Known;
}

export class Replicas {
  readonly #deps: GatewayDeps;
  readonly #known = new Map<string, Known>();
  readonly #memories = new Map<string, { readonly memory: PrefixMemory; usedAt: number }>();
  #turn = 0;

  constructor(deps: GatewayDeps) {
    this.#deps = deps;
  }

  /** Undefined when every replica was tried. */
  choose(route: GatewayRoute, prompt: Prompt, tried: readonly string[]): Chosen | undefined {
    const now = this.#deps.clock.monotonicMs();
    const from = this.#candidates(route.replicas, tried, now);
    const choice = route.replicas.length === 1 ? onlyOne(from, prompt) : this.#best(route, from, prompt, now);
    return choice && { ...choice, known: this.#of(choice.replica) };
  }

  pool(replica: RouteReplica): Pool {
    return this.#of(replica).pool;
  }

  began({ known, bytes }: Chosen): void {
    known.active++;
    known.bytes += bytes;
    known.usedAt = this.#deps.clock.monotonicMs();
  }

  ended({ known, bytes }: Chosen, verdict: Verdict, error?: Error): void {
    known.active--;
    known.bytes -= bytes;
    if (verdict === "well") known.failures = 0;
    if (verdict !== "failed" || ++known.failures < TRIPS_AT) return;
    const open = Math.min(OPEN_MS * 2 ** (known.failures - TRIPS_AT), OPEN_MAX_MS);
    known.openUntil = this.#deps.clock.monotonicMs() + open;
    if (known.failures > TRIPS_AT) return;
    const { replicaId, host, port } = known.replica;
    this.#deps.log.warn(
      { err: error, replica: replicaId, host, port },
      "a replica is left alone for a while",
    );
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
    for (const [id, { usedAt }] of this.#memories) if (usedAt <= before) this.#memories.delete(id);
  }

  close(): void {
    for (const known of this.#known.values()) known.pool.close();
    this.#known.clear();
  }

  #best(route: GatewayRoute, from: readonly RouteReplica[], prompt: Prompt, now: number): Choice | undefined {
    const memory = this.#memory(route.modelId, now);
    const choice = choose(from, (replica) => this.#of(replica), memory, prompt, ++this.#turn);
    if (choice) memory.remember(prompt.hashes, choice.replica.replicaId);
    return choice;
  }

  /** When all are left alone, one is tried all the same: the breaker must not be what keeps a model down. */
  #candidates(
    replicas: readonly RouteReplica[],
    tried: readonly string[],
    now: number,
  ): readonly RouteReplica[] {
    const untried =
      tried.length === 0 ? replicas : replicas.filter((replica) => !tried.includes(replica.replicaId));
    const isAble = (replica: RouteReplica) => this.#of(replica).openUntil <= now;
    if (untried.every(isAble)) return untried;
    const able = untried.filter(isAble);
    return able.length > 0 ? able : untried;
  }

  #of(replica: RouteReplica): Known {
    const known = this.#known.get(replica.replicaId);
    if (known && isSamePlace(known.replica, replica)) return known;
    // A replica that came back elsewhere: what still runs at its old place ends on its own.
    known?.pool.close();
    const pool = new Pool(replica, this.#deps.limits.idleConnectionsMax);
    const usedAt = this.#deps.clock.monotonicMs();
    const fresh = { replica, pool, active: 0, bytes: 0, failures: 0, openUntil: 0, usedAt };
    this.#known.set(replica.replicaId, fresh);
    return fresh;
  }

  #memory(modelId: string, now: number): PrefixMemory {
    let kept = this.#memories.get(modelId);
    if (!kept) {
      kept = { memory: new PrefixMemory(), usedAt: now };
      this.#memories.set(modelId, kept);
    }
    kept.usedAt = now;
    return kept.memory;
  }
}

function onlyOne(from: readonly RouteReplica[], prompt: Prompt): Choice | undefined {
  const [replica] = from;
  return replica && { replica, bytes: prompt.bytes };
}

function isSamePlace(one: RouteReplica, other: RouteReplica): boolean {
  return (
    one === other ||
    (one.host === other.host && one.port === other.port && one.certificateSha256 === other.certificateSha256)
  );
}
