/** Which evaluated beginnings are kept and which of them a prompt continues. Pure: their files are kept-states.ts's business. */

export interface KeptEntry {
  readonly name: string;
  /** Hash of the cache salt that it was evaluated under. Nothing of another salt is ever found. */
  readonly salt: string;
  readonly tokens: Uint32Array;
  readonly bytes: number;
  /** When it was written or last restored, ms. */
  usedAt: number;
}

/** The entry that shares the longest beginning with the prompt, and how long that is. */
export function longestMatch(
  entries: Iterable<KeptEntry>,
  salt: string,
  prompt: readonly number[],
): { readonly entry: KeptEntry; readonly tokens: number } | undefined {
  let best: { entry: KeptEntry; tokens: number } | undefined;
  for (const entry of entries) {
    if (entry.salt !== salt) continue;
    const tokens = commonLength(entry.tokens, prompt);
    if (tokens > (best?.tokens ?? 0)) best = { entry, tokens };
  }
  return best;
}

/** An entry that begins with all of these tokens: keeping them again would add nothing. */
export function covering(
  entries: Iterable<KeptEntry>,
  salt: string,
  tokens: readonly number[],
): KeptEntry | undefined {
  for (const entry of entries) {
    if (entry.salt === salt && commonLength(entry.tokens, tokens) === tokens.length) return entry;
  }
  return undefined;
}

/** Entries that are nothing but a beginning of `entry`: a conversation's earlier turns. */
export function supersededBy(entries: Iterable<KeptEntry>, entry: KeptEntry): readonly KeptEntry[] {
  return [...entries].filter(
    (each) =>
      each !== entry &&
      each.salt === entry.salt &&
      each.tokens.length < entry.tokens.length &&
      commonLength(each.tokens, entry.tokens) === each.tokens.length,
  );
}

/** Those that must go, the longest unused first, until the rest is within both bounds. */
export function overflowing(
  entries: Iterable<KeptEntry>,
  bounds: { readonly bytes: number; readonly entries: number },
): readonly KeptEntry[] {
  const kept = [...entries].sort((a, b) => b.usedAt - a.usedAt);
  let bytes = 0;
  return kept.filter((entry, index) => {
    bytes += entry.bytes;
    return bytes > bounds.bytes || index >= bounds.entries;
  });
}

function commonLength(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) if (a[index] !== b[index]) return index;
  return length;
}
