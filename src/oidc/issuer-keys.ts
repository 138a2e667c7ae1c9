import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from "jose";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";

/** The keys by which an issuer signs. */
export interface IssuerKeys {
  /**
   * The function by which jose finds a token's key. It throws jose's JWKSNoMatchingKey for a key that the issuer does not
   * publish, and UNAVAILABLE while the issuer can't be asked.
   */
  finder(ctx: BaseCtx): JWTVerifyGetKey;
}

/** Older keys are asked for anew, behind the back of the calls that still use them. */
const FRESH_MS = 10 * 60_000;
/** Longest that keys hold while the issuer is down. A key that it withdrew meanwhile holds as long. */
const STALE_MAX_MS = 60 * 60_000;
/** Invented key ids must not become a flood at the issuer, nor an issuer that is down be asked by every call. */
const ASK_AGAIN_MS = 10_000;

interface Known {
  readonly find: JWTVerifyGetKey;
  readonly sinceMs: number;
}

/** Keys of the issuer, fetched when they are first needed and when they are old or lack the one that is asked for. */
export function issuerKeys(source: {
  readonly issuer: string;
  readonly fetch: () => Promise<JSONWebKeySet>;
}): IssuerKeys {
  let known: Known | undefined;
  let askedMs = Number.NEGATIVE_INFINITY;
  let asking: Promise<boolean> | undefined;

  const fetchNow = async (ctx: BaseCtx): Promise<boolean> => {
    try {
      const keys = await source.fetch();
      known = { find: createLocalJWKSet(keys), sinceMs: ctx.clock.monotonicMs() };
      return true;
    } catch (error) {
      ctx.log.warn({ err: error, issuer: source.issuer }, "the issuer's keys could not be fetched");
      return false;
    } finally {
      asking = undefined;
    }
  };
  /** Joins a fetch that is under way. False when it failed; undefined when it is too early to ask again. */
  const refetch = async (ctx: BaseCtx): Promise<boolean | undefined> => {
    if (asking) return asking;
    const nowMs = ctx.clock.monotonicMs();
    if (nowMs - askedMs < ASK_AGAIN_MS) return undefined;
    askedMs = nowMs;
    asking = fetchNow(ctx);
    return asking;
  };
  const usable = async (ctx: BaseCtx): Promise<Known> => {
    const ageMs = () => (known ? ctx.clock.monotonicMs() - known.sinceMs : Number.POSITIVE_INFINITY);
    if (ageMs() > STALE_MAX_MS) await refetch(ctx);
    else if (ageMs() > FRESH_MS) void refetch(ctx);
    if (known && ageMs() <= STALE_MAX_MS) return known;
    throw issuerDown(source.issuer);
  };
  return {
    finder: (ctx) => async (header, token) => {
      const { find } = await usable(ctx);
      try {
        return await find(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        const fetched = await refetch(ctx);
        if (fetched === false) throw issuerDown(source.issuer);
        // Too early to ask again: another caller's fetch may have brought the key meanwhile.
        return (await usable(ctx)).find(header, token);
      }
    },
  };
}

function issuerDown(issuer: string): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "UNAVAILABLE",
    message: `Access tokens can't be checked now: the keys of ${issuer} could not be fetched. Try again soon.`,
    retryAfterMs: ASK_AGAIN_MS,
  });
}
