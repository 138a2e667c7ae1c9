/** What the cache saves on GPU time, by the public formula, and what of it a price plan shares. Pure, in whole millionths and nanos. */

const MILLION = 1_000_000n;
/** The wire tells shares in percent. */
export const PPM_PER_PERCENT = 10_000n;

/** The part of a GPU price that is about savings. */
export interface SavingsPlan {
  /** Millionths of the estimated savings that the user pays beside the time; 0: the plan passes all of them through. */
  readonly sharePpm: bigint;
  /** Prompt tokens that one GPU (or one replica on CPUs) takes in a second, as the operator declares it; 0: nothing is estimated. */
  readonly prefillTokensPerSecond: bigint;
}

/** Without an estimate: time alone. */
export const NO_SAVINGS: SavingsPlan = { sharePpm: 0n, prefillTokensPerSecond: 0n };

/** Most that is ever estimated: as much time again as was used. It bounds what a window can cost, and so what is held for it. */
export const ESTIMATE_MAX_PPM = MILLION;

export interface CachedTime {
  /** Tokens that replicas need not have computed. */
  readonly cachedTokens: bigint;
  readonly gpuCount: number;
  readonly chargedMs: bigint;
}

/** EST: the time that the cached tokens would have taken, in millionths of the time that was used. */
export function estimatePpm(plan: SavingsPlan, time: CachedTime): bigint {
  const { cachedTokens, gpuCount, chargedMs } = time;
  const tokensInTime = plan.prefillTokensPerSecond * BigInt(Math.max(1, gpuCount)) * chargedMs;
  if (tokensInTime <= 0n) return 0n;
  const ppm = (cachedTokens * 1_000n * MILLION) / tokensInTime;
  return ppm < ESTIMATE_MAX_PPM ? ppm : ESTIMATE_MAX_PPM;
}

/** What a window comes to whose time alone costs `timeNanos`: the user pays the time and the share, and keeps the saving. */
export function sharedSavings(plan: Pick<SavingsPlan, "sharePpm">, timeNanos: bigint, estimate: bigint) {
  const shareNanos = (timeNanos * estimate * plan.sharePpm) / (MILLION * MILLION);
  return { shareNanos, savingNanos: (timeNanos * estimate) / MILLION - shareNanos };
}

/** The most that a window can cost whose time alone costs at most `timeNanos`. */
export function mostWithShare(plan: Pick<SavingsPlan, "sharePpm">, timeNanos: bigint): bigint {
  return timeNanos + sharedSavings(plan, timeNanos, ESTIMATE_MAX_PPM).shareNanos;
}
