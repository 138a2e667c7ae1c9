/** A migrated database with a clock that tests move, a user, and prices. */

import { type Clock, systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { NANOS_PER_UNIT } from "../../src/base/money.ts";
import { systemRandom } from "../../src/base/random.ts";
import {
  type BudgetedThings,
  type GpuPrice,
  grantCredit,
  setGpuPrice,
  setTokenPrice,
  type TokenPriceVersion,
  type UsageRecord,
} from "../../src/billing/index.ts";
import type { DbCtx } from "../../src/db/db.ts";
import { createUser } from "../../src/identity/index.ts";
import type { Cleanup } from "./cleanup.ts";
import { testDatabase } from "./postgres.ts";

export const START = new Date("2026-03-01T10:00:00Z");
export const CURRENCY = "USD";
export const WINDOW_MS = 15 * 60_000;

export interface Fixture {
  readonly ctx: DbCtx;
  readonly url: string;
  readonly userId: string;
  now(): Date;
  advance(ms: number): Date;
}

export async function fixture(t: Cleanup, options: { connectionsMax?: number } = {}): Promise<Fixture> {
  const { db, url } = await testDatabase(t, options);
  let at = START.getTime();
  const clock: Clock = { ...systemClock, now: () => new Date(at) };
  const ctx: DbCtx = { db, clock, random: systemRandom, log: silentLog };
  const user = await createUser(ctx, { displayName: "payer" });
  return {
    ctx,
    url,
    userId: user.id,
    now: () => new Date(at),
    advance: (ms) => {
      at += ms;
      return new Date(at);
    },
  };
}

/** Budgets may be of any model and any name. */
export const ANYTHING_BUDGETED: BudgetedThings = {
  isModelOf: async () => true,
  isPublished: async () => true,
};

/** Whole units as nanos. */
export const units = (count: number): bigint => BigInt(Math.round(count * 1_000)) * (NANOS_PER_UNIT / 1_000n);

/** Gives the fixture's user credit. */
export async function credit(f: Fixture, nanos: bigint, userId = f.userId): Promise<void> {
  await grantCredit(f.ctx, {
    operatorId: f.userId,
    userId,
    amount: { currency: CURRENCY, nanos },
    reason: "test",
    key: f.ctx.random.uuid(),
  });
}

/** A CPU price of 3.60 an hour: a thousandth of a unit a second. */
export async function cpuPrice(f: Fixture, nanosPerHour = units(3.6)): Promise<GpuPrice> {
  return setGpuPrice(f.ctx, {
    provider: "ONPREM",
    region: "local",
    gpuType: "UNSPECIFIED",
    currency: CURRENCY,
    nanosPerHour,
    validFrom: null,
  });
}

export async function tokenPriceOf(f: Fixture, servedName = "tiny"): Promise<TokenPriceVersion> {
  return setTokenPrice(f.ctx, {
    servedName,
    currency: CURRENCY,
    inputNanosPerMillion: units(2),
    cachedNanosPerMillion: 0n,
    outputNanosPerMillion: units(6),
    validFrom: null,
  });
}

/** One request of 1,000 input tokens (400 cached) and 100 output tokens. */
export function usage(f: Fixture, change: Partial<UsageRecord> = {}): UsageRecord {
  return {
    requestId: `req-${f.ctx.random.uuid()}`,
    gatewayId: "gateway-1",
    modelId: "11111111-1111-4111-8111-111111111111",
    servedName: "tiny",
    userId: f.userId,
    keyId: null,
    sliceId: null,
    priceVersionId: null,
    promptTokens: 1_000,
    cachedTokens: 400,
    completionTokens: 100,
    estimated: false,
    outcome: "ok",
    startedAt: f.now(),
    endedAt: f.now(),
    ttftMs: 12.5,
    ...change,
  };
}
