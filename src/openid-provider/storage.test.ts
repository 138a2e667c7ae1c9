import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { secretBox } from "../base/seal.ts";
import type { DbCtx } from "../db/db.ts";
import { createUser } from "../identity/index.ts";
import { artifactAdapter } from "./adapter.ts";
import { endSessions, purgeLoginState } from "./index.ts";
import { publicSigningKeys, signingKeys } from "./signing-keys.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const box = secretBox("s".repeat(32));

async function setup(t: Cleanup): Promise<{ ctx: DbCtx; advance(ms: number): void }> {
  const { db } = await testDatabase(t);
  let now = Date.parse("2026-03-01T10:00:00Z");
  const clock: Clock = { ...systemClock, now: () => new Date(now) };
  return {
    ctx: { db, clock, random: systemRandom, log: silentLog },
    advance: (ms) => {
      now += ms;
    },
  };
}

test("what is kept is found by its id, its uid and its user code until it ends, and then purged", async (t) => {
  const { ctx, advance } = await setup(t);
  const sessions = artifactAdapter(ctx, box, "Session");
  const codes = artifactAdapter(ctx, box, "DeviceCode");
  await sessions.upsert("s1", { jti: "s1", uid: "u1" }, 60);
  await sessions.upsert("s2", { jti: "s2", uid: "u2" }, 600);
  await codes.upsert("d1", { jti: "d1", userCode: "BCDF" }, 600);
  assert.equal((await sessions.find("s1"))?.jti, "s1");
  assert.equal((await sessions.findByUid("u2"))?.jti, "s2");
  assert.equal((await codes.findByUserCode("BCDF"))?.jti, "d1");
  assert.equal(await codes.find("s1"), undefined);
  advance(61_000);
  assert.equal(await sessions.find("s1"), undefined);
  await purgeLoginState(ctx);
  const { rows } = await sql<{ kind: string }>`select kind from oidc_artifact`.execute(ctx.db);
  assert.deepEqual(rows.map((row) => row.kind).sort(), ["DeviceCode", "Session"]);
});

test("of many who consume one code at once, one succeeds, and that it was consumed is seen", async (t) => {
  const { ctx } = await setup(t);
  const codes = artifactAdapter(ctx, box, "AuthorizationCode");
  await codes.upsert("c1", { jti: "c1", grantId: "g1" }, 60);
  const all = await Promise.allSettled(Array.from({ length: 8 }, () => codes.consume("c1")));
  assert.equal(all.filter((one) => one.status === "fulfilled").length, 1);
  assert.ok((await codes.find("c1"))?.consumed);
  // Written again, as the library does, it stays consumed.
  await codes.upsert("c1", { jti: "c1", grantId: "g1" }, 60);
  assert.ok((await codes.find("c1"))?.consumed);
});

test("a revoked grant takes what was given under it, and an ended account everything of it", async (t) => {
  const { ctx } = await setup(t);
  const user = await createUser(ctx, {});
  const tokens = artifactAdapter(ctx, box, "RefreshToken");
  await tokens.upsert("r1", { jti: "r1", grantId: "g1", accountId: user.id }, 60);
  await tokens.upsert("r2", { jti: "r2", grantId: "g2", accountId: user.id }, 60);
  await tokens.upsert("r3", { jti: "r3", grantId: "g2" }, 60);
  await tokens.revokeByGrantId("g1");
  assert.equal(await tokens.find("r1"), undefined);
  assert.ok(await tokens.find("r2"));
  await endSessions(ctx, user.id);
  assert.equal(await tokens.find("r2"), undefined);
  assert.ok(await tokens.find("r3"));
});

test("signing keys outlive restarts, the next is known an hour before it signs, and none is published with its private half", async (t) => {
  const { ctx, advance } = await setup(t);
  const [first] = await signingKeys(ctx, box);
  assert.deepEqual(await signingKeys(ctx, box), [first]);
  advance(90 * DAY_MS - HOUR_MS);
  const [signing, next, ...more] = await signingKeys(ctx, box);
  assert.deepEqual([signing?.kid, more.length], [first?.kid, 0]);
  advance(HOUR_MS);
  const after = await signingKeys(ctx, box);
  assert.deepEqual(
    after.map((key) => key.kid),
    [next?.kid, first?.kid],
  );
  const published = await publicSigningKeys(ctx, box);
  assert.deepEqual(new Set(published.keys.map((key) => key.kid)), new Set(after.map((key) => key.kid)));
  assert.ok(!JSON.stringify(published).includes('"d"'));
});
