/** Which replica probably has the beginning of this prompt in its KV cache. */
import type { RouteReplica } from "./ports.ts";

/** Characters of a block: about the 64 tokens below which a hit saves little. */
const BLOCK_CHARS = 256;
/** Blocks of one prompt that are looked at: 128 KiB of text. */
const BLOCKS_MAX = 512;
/** Remembered blocks of one model; the oldest go. */
const ENTRIES_MAX = 50_000;
/** What one running answer weighs against a prompt's characters: its decode shares the engine's steps. */
const ACTIVE_CHARS = 512;

const FNV_PRIME = 0x01000193;
const FNV_OFFSET = 0x811c9dc5;

/** Hashes of every prefix of the prompt that is a whole number of blocks; salted, so that tenants share nothing. */
export function prefixHashes(texts: Iterable<string>, salt: string): number[] {
  const hashes: number[] = [];
  // Two 32-bit lanes make 53 bits that collide too seldom to matter for a choice that is only a guess.
  let one = FNV_OFFSET;
  let two = FNV_OFFSET ^ 0x5bd1e995;
  let inBlock = 0;
  const feed = (text: string) => {
    for (let i = 0; i < text.length; i++) {
      const char = text.charCodeAt(i);
      one = Math.imul(one ^ char, FNV_PRIME);
      two = Math.imul(two ^ ((char << 3) | 1), FNV_PRIME);
      if (++inBlock === BLOCK_CHARS) {
        hashes.push((one >>> 0) * 2_097_152 + ((two >>> 0) & 0x1fffff));
        inBlock = 0;
        if (hashes.length === BLOCKS_MAX) return;
      }
    }
  };
  for (let i = 0; i < salt.length; i++) one = Math.imul(one ^ salt.charCodeAt(i), FNV_PRIME);
  for (const text of texts) {
    feed(text);
    if (hashes.length === BLOCKS_MAX) break;
  }
  return hashes;
}

/** What is running on a replica, as this gateway knows it. */
export interface Load {
  active: number;
  /** Prompt characters of running requests that are not expected in the cache. */
  chars: number;
}

/** One model's memory of who was sent which prefix. */
export class PrefixMemory {
  readonly #holders = new Map<number, Set<string>>();

  /** Blocks from the start that this replica was sent before. */
  shared(hashes: readonly number[], replicaId: string): number {
    let low = 0;
    let high = hashes.length;
    // Prefixes nest, so the longest one is found by halving.
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#holders.get(hashes[middle - 1] ?? 0)?.has(replicaId)) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  remember(hashes: readonly number[], replicaId: string): void {
    for (const hash of hashes) {
      const holders = this.#holders.get(hash) ?? new Set();
      holders.add(replicaId);
      this.#holders.delete(hash);
      this.#holders.set(hash, holders);
    }
    for (const hash of this.#holders.keys()) {
      if (this.#holders.size <= ENTRIES_MAX) break;
      this.#holders.delete(hash);
    }
  }
}

export interface Choice {
  readonly replica: RouteReplica;
  /** Characters of the prompt that are not expected to be cached there. */
  readonly chars: number;
}

/** The replica where this prompt is expected to start soonest: what waits there, and what must be evaluated there. */
export function choose(
  replicas: readonly RouteReplica[],
  loadOf: (replicaId: string) => Load,
  memory: PrefixMemory,
  prompt: { readonly hashes: readonly number[]; readonly chars: number },
  turn: number,
): Choice | undefined {
  let best: Choice | undefined;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let i = 0; i < replicas.length; i++) {
    const replica = replicas[(i + turn) % replicas.length];
    if (!replica) continue;
    const load = loadOf(replica.replicaId);
    const chars = prompt.chars - memory.shared(prompt.hashes, replica.replicaId) * BLOCK_CHARS;
    const cost = load.chars + load.active * ACTIVE_CHARS + chars;
    if (cost < bestCost) {
      bestCost = cost;
      best = { replica, chars };
    }
  }
  return best;
}
