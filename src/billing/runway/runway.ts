import type { DbCtx } from "../../db/db.ts";
import type { Balance } from "../ledger/index.ts";
import { selectBurn } from "./store.ts";

/** Token spending is as fast as it was in this time: long enough for pauses between requests, short enough to notice a change. */
export const TOKENS_OVER_MS = 3_600_000;

export interface Burn {
  /** What open windows cost an hour. */
  readonly burnNanosPerHour: bigint;
  /** What tokens cost in the last hour. */
  readonly tokenNanosPerHour: bigint;
}

export interface Runway extends Burn {
  /** How long the available money lasts at both; null when nothing is spent. */
  readonly runwaySeconds: number | null;
}

/** How long a user's money lasts: the balance less all holds, over what running models and tokens cost an hour. */
export async function runwayOf(ctx: DbCtx, userId: string, balance: Balance): Promise<Runway> {
  const since = new Date(ctx.clock.now().getTime() - TOKENS_OVER_MS);
  const burn = await selectBurn(ctx, { userId, currency: balance.currency, since });
  return { ...burn, runwaySeconds: runwayAt(balance.availableNanos, burn) };
}

/** The same from its numbers; `addedNanosPerHour` is what would run beside. */
export function runwayAt(availableNanos: bigint, burn: Burn, addedNanosPerHour = 0n): number | null {
  const perHour = burn.burnNanosPerHour + burn.tokenNanosPerHour + addedNanosPerHour;
  return perHour === 0n ? null : Number((availableNanos * 3_600n) / perHour);
}
