/** Which replica probably has the beginning of this prompt in its KV cache. */
import { crc32 } from "node:zlib";
import type { Surface } from "./client-request.ts";
import type { RouteReplica } from "./ports.ts";

/** Bytes of a block: about the 128 tokens below which a hit saves little. */
const BLOCK_BYTES = 512;
/** Blocks of one prompt that are looked at: 256 KiB of text. */
const BLOCKS_MAX = 512;
/** Remembered blocks of one model; the oldest go. */
const ENTRIES_MAX = 50_000;
/** What one running answer weighs against a prompt's bytes: its decode shares the engine's steps. */
const ACTIVE_BYTES = 512;
/** Where a body's prompt begins. What a prompt itself says can't look so: its quotes are escaped. */
const PROMPT_NAME: Readonly<Record<Surface, Buffer>> = {
  chat: Buffer.from('"messages"'),
  completions: Buffer.from('"prompt"'),
  responses: Buffer.from('"input"'),
  embeddings: Buffer.from('"input"'),
  tokenize: Buffer.from('"prompt"'),
  detokenize: Buffer.from('"tokens"'),
};

export interface Prompt {
  /** One for every whole number of blocks from the prompt's start. */
  readonly hashes: readonly number[];
  readonly bytes: number;
}

/** The prompt of a request's body, as hashes of its prefixes; salted, so that tenants share nothing. A guess is all they are for. */
export function promptOf(surface: Surface, body: Buffer, salt: string): Prompt {
  const start = Math.max(0, body.indexOf(PROMPT_NAME[surface]));
  const hashes: number[] = [];
  let hash = crc32(salt);
  for (let at = start; at + BLOCK_BYTES <= body.length && hashes.length < BLOCKS_MAX; at += BLOCK_BYTES) {
    hash = crc32(body.subarray(at, at + BLOCK_BYTES), hash);
    hashes.push(hash);
  }
  return { hashes, bytes: body.length - start };
}

/** What is running on a replica, as this gateway knows it. */
export interface Load {
  active: number;
  /** Prompt bytes of running requests that are not expected in the cache. */
  bytes: number;
}

/** One model's memory of who was sent which prefix. */
export class PrefixMemory {
  readonly #holders = new Map<number, Set<string>>();

  /** Remembered blocks. */
  get size(): number {
    return this.#holders.size;
  }

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
      const holders = this.#holders.get(hash);
      if (holders) holders.add(replicaId);
      else this.#holders.set(hash, new Set([replicaId]));
    }
    // The oldest go, not the least used: what is still asked for comes back with its next request, and order costs nothing.
    for (const hash of this.#holders.keys()) {
      if (this.#holders.size <= ENTRIES_MAX) break;
      this.#holders.delete(hash);
    }
  }
}

export interface Choice {
  readonly replica: RouteReplica;
  /** Bytes of the prompt that are not expected to be cached there. */
  readonly bytes: number;
}

/** The replica where this prompt is expected to start soonest: what waits there, and what must be evaluated there. */
export function choose(
  replicas: readonly RouteReplica[],
  loadOf: (replica: RouteReplica) => Load,
  memory: PrefixMemory,
  prompt: Prompt,
  turn: number,
): Choice | undefined {
  let best: Choice | undefined;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let i = 0; i < replicas.length; i++) {
    const replica = replicas[(i + turn) % replicas.length];
    if (!replica) continue;
    const load = loadOf(replica);
    const bytes = prompt.bytes - memory.shared(prompt.hashes, replica.replicaId) * BLOCK_BYTES;
    const cost = load.bytes + load.active * ACTIVE_BYTES + bytes;
    if (cost < bestCost) {
      bestCost = cost;
      best = { replica, bytes };
    }
  }
  return best;
}
