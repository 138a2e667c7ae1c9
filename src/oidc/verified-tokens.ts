import { sha256 } from "../base/id.ts";
import type { VerifiedToken } from "./verify-token.ts";

/** How long a verification stands: a key that the issuer withdraws counts for as long. */
const STANDS_MS = 60_000;
/** Callers in a minute; beyond it the oldest is verified again. About 10 MB. */
const TOKENS_MAX = 10_000;

/** Tokens that were verified a short while ago, by their hash. */
export interface VerifiedTokens {
  /** `nowMs` is monotonic. */
  find(token: string, nowMs: number): VerifiedToken | undefined;
  keep(token: string, verified: VerifiedToken, nowMs: number): void;
}

/** Keeps hashes only: memory that leaks holds no token. */
export function verifiedTokens(tokensMax = TOKENS_MAX): VerifiedTokens {
  const kept = new Map<string, { verified: VerifiedToken; untilMs: number }>();
  return {
    find(token, nowMs) {
      const entry = kept.get(hashOf(token));
      return entry && nowMs < entry.untilMs ? entry.verified : undefined;
    },
    keep(token, verified, nowMs) {
      const hash = hashOf(token);
      kept.delete(hash);
      kept.set(hash, { verified, untilMs: nowMs + STANDS_MS });
      // A Map remembers the order of insertion: its first is the oldest.
      for (const oldest of kept.keys()) {
        if (kept.size <= tokensMax) break;
        kept.delete(oldest);
      }
    },
  };
}

function hashOf(token: string): string {
  return sha256(token).toString("base64url");
}
