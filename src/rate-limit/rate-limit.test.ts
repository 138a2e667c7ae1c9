import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { seededRandom, virtualClock } from "../../test/sim/chance.ts";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import { silentLog } from "../base/log.ts";
import type { DbCtx } from "../db/db.ts";
import { createRateLimit, type RateLimit } from "./index.ts";
import { countStore } from "./store.ts";

const MINUTE_MS = 60_000;
const POLICIES = { token: { requestsMax: 10, windowMs: MINUTE_MS }, address: undefined };

async function setting(t: Cleanup) {
  const { db } = await testDatabase(t);
  const clock = virtualClock(new Date("2030-01-01T00:00:00Z"));
  const ctx: DbCtx = { db, clock, random: seededRandom(1), log: silentLog };
  return { ctx, clock };
}

function takeMany(limit: RateLimit, id: string, count: number): number {
  return Array.from({ length: count }, () => limit.take("token", id)?.allowed).filter(Boolean).length;
}

test("the limit holds over all processes, up to what they had not told each other yet", async (t) => {
  const { ctx } = await setting(t);
  const [one, other] = [createRateLimit(ctx.clock, POLICIES), createRateLimit(ctx.clock, POLICIES)];
  assert.equal(takeMany(one, "a", 4), 4);
  assert.equal(takeMany(other, "a", 4), 4);
  await one.exchange(countStore(ctx));
  await other.exchange(countStore(ctx));
  assert.equal(takeMany(other, "a", 10), 2, "it knows of eight");
  await other.exchange(countStore(ctx));
  assert.equal(takeMany(one, "a", 1), 1, "it has not heard of more than its own four");
  await one.exchange(countStore(ctx));
  assert.equal(takeMany(one, "a", 10), 0);
});

test("callers are counted apart, and a kind without a limit not at all", async (t) => {
  const { ctx } = await setting(t);
  const limit = createRateLimit(ctx.clock, POLICIES);
  assert.equal(takeMany(limit, "a", 20), 10);
  assert.equal(takeMany(limit, "b", 20), 10);
  assert.equal(limit.take("address", "10.0.0.1"), undefined);
});

test("without the database each process goes on counting, and what it counted arrives later", async (t) => {
  const { ctx } = await setting(t);
  const away = { ...ctx };
  const limit = createRateLimit(away.clock, POLICIES);
  takeMany(limit, "a", 7);
  const { db } = away;
  Object.assign(away, {
    db: new Proxy(db, {
      get: () => {
        throw new Error("the database is away");
      },
    }),
  });
  await assert.rejects(limit.exchange(countStore(away)));
  assert.equal(takeMany(limit, "a", 7), 3, "its own count still bounds");
  Object.assign(away, { db });
  await limit.exchange(countStore(ctx));
  const other = createRateLimit(ctx.clock, POLICIES);
  takeMany(other, "a", 1);
  await other.exchange(countStore(ctx));
  assert.equal(takeMany(other, "a", 10), 0, "all eleven are known");
});

test("the table keeps no address and no token id, and forgets old windows", async (t) => {
  const { ctx, clock } = await setting(t);
  const limit = createRateLimit(ctx.clock, { token: POLICIES.token, address: POLICIES.token });
  limit.take("token", "canary-token-id");
  limit.take("address", "203.0.113.77");
  await limit.exchange(countStore(ctx));
  const rows = await sql<{ text: string }>`select rate_window::text as text from rate_window`.execute(ctx.db);
  assert.equal(rows.rows.length, 2);
  assert.doesNotMatch(JSON.stringify(rows.rows), /canary|203\.0\.113/);
  assert.doesNotMatch(JSON.stringify(rows.rows), new RegExp(Buffer.from("canary-token-id").toString("hex")));
  clock.advance(3 * MINUTE_MS);
  await limit.exchange(countStore(ctx));
  const left = await sql<{ n: string }>`select count(*) as n from rate_window`.execute(ctx.db);
  assert.equal(Number(left.rows[0]?.n), 0);
});
