import { lesserNanos } from "../../base/money.ts";
import type { DbCtx } from "../../db/db.ts";
import type { Balance } from "../ledger/index.ts";
import { selectBurn, selectEndings } from "./store.ts";

/** Token spending is as fast as it was in this time: long enough for pauses between requests, short enough to notice a change. */
export const TOKENS_OVER_MS = 3_600_000;

export interface Burn {
  /** What open windows cost an hour. */
  readonly burnNanosPerHour: bigint;
  /** What tokens cost in the last hour. */
  readonly tokenNanosPerHour: bigint;
}

/** What of the available money can be spent no longer than until then. */
export interface Ending {
  readonly nanos: bigint;
  readonly at: Date;
}

/** Money that may be spent from now on. */
export interface Spendable {
  readonly availableNanos: bigint;
  /** The credit in it that expires, the soonest first; it is spent before the rest. */
  readonly endings: readonly Ending[];
}

export interface Runway extends Burn {
  /** How long the available money lasts at both; null when nothing is spent. */
  readonly runwaySeconds: number | null;
  readonly endings: readonly Ending[];
}

/**
 * How long a user's money lasts: the balance less all holds, over what running models and tokens cost an hour. Credit that expires
 * before it can be spent at that pace does not count.
 */
export async function runwayOf(ctx: DbCtx, userId: string, balance: Balance): Promise<Runway> {
  const { currency, creditNanos, availableNanos } = balance;
  const now = ctx.clock.now();
  const since = new Date(now.getTime() - TOKENS_OVER_MS);
  const burn = await selectBurn(ctx, { userId, currency, since });
  const endings = creditNanos === 0n ? [] : await selectEndings(ctx, { userId, currency, now });
  return { ...burn, endings, runwaySeconds: runwayAt({ availableNanos, endings }, burn, now) };
}

/** The same from its numbers: pure. `addedNanosPerHour` is what would run beside. */
export function runwayAt(
  { availableNanos, endings }: Spendable,
  burn: Burn,
  now: Date,
  addedNanosPerHour = 0n,
): number | null {
  const perHour = burn.burnNanosPerHour + burn.tokenNanosPerHour + addedNanosPerHour;
  if (perHour === 0n) return null;
  let ending = 0n;
  let spent = 0n;
  for (const { nanos, at } of endings) {
    const untilThen = (perHour * BigInt(at.getTime() - now.getTime())) / 3_600_000n;
    ending += nanos;
    spent = lesserNanos(spent + nanos, untilThen);
  }
  return Number(((availableNanos - ending + spent) * 3_600n) / perHour);
}
