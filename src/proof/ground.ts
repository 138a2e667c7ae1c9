/** Where histories are played: an empty database of their own, with an operator and prices. */
import type { BaseCtx } from "../base/ctx.ts";
import {
  checkBooks,
  expireCredit,
  type Finding,
  type GpuPrice,
  sealTransfers,
  setGpuPrice,
  setTokenPrice,
  settleSlices,
  type TokenPriceVersion,
} from "../billing/index.ts";
import type { Db, DbCtx } from "../db/db.ts";
import { createUser } from "../identity/index.ts";

/** When every history begins. */
export const START = new Date("2026-03-31T23:30:00Z");
export const CURRENCY = "USD";

export interface Ground {
  readonly base: Omit<BaseCtx, "clock">;
  readonly db: Db;
  readonly operatorId: string;
  readonly modelId: string;
  readonly servedName: string;
  readonly tokenPrice: TokenPriceVersion;
  readonly gpuPrice: GpuPrice;
}

/** Odd prices: what is floored must show. */
const TOKEN_NANOS_PER_MILLION = 1_234_567_891n;
const GPU_NANOS_PER_HOUR = 7_000_000_001n;

/** `db` is a migrated database of the histories' own, worked on as the program's role. */
export async function layGround(base: Omit<BaseCtx, "clock">, db: Db): Promise<Ground> {
  const ctx = ctxAt(base, db, START);
  const servedName = "proof";
  const operator = await createUser(ctx, { displayName: "operator" });
  const tokenPrice = await setTokenPrice(ctx, {
    servedName,
    currency: CURRENCY,
    inputNanosPerMillion: 0n,
    cachedNanosPerMillion: 0n,
    outputNanosPerMillion: TOKEN_NANOS_PER_MILLION,
    validFrom: null,
  });
  const gpuPrice = await setGpuPrice(ctx, {
    provider: "ONPREM",
    region: "local",
    gpuType: "UNSPECIFIED",
    currency: CURRENCY,
    nanosPerHour: GPU_NANOS_PER_HOUR,
    validFrom: null,
  });
  return { base, db, operatorId: operator.id, modelId: base.random.uuid(), servedName, tokenPrice, gpuPrice };
}

/** What `slipway ledger check` finds in the histories' books, at a time when all of them are over. */
export async function findingsOf(ground: Ground): Promise<readonly Finding[]> {
  const ctx = ctxAt(ground.base, ground.db, new Date(START.getTime() + OVER_MS));
  // What a worker would have done meanwhile: credit ends, and slices of lost gateways that were used up to the last nano.
  await expireCredit(ctx);
  await settleSlices(ctx, { now: ctx.clock.now() });
  await sealTransfers(ctx);
  return (await checkBooks(ctx, { now: ctx.clock.now() })).findings;
}

/** Longer than any history. */
const OVER_MS = 30 * 24 * 3_600_000;

function ctxAt(base: Omit<BaseCtx, "clock">, db: Db, at: Date): DbCtx {
  const clock = { now: () => at, monotonicMs: () => at.getTime(), sleep: async () => {} };
  return { ...base, db, clock };
}
