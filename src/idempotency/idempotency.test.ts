import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { sha256 } from "../base/id.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { secretBox } from "../base/seal.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import { createIdempotency, type IdempotencyHandle, purgeIdempotency } from "./index.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const CALL = { principalId: "u1", operation: "deployModel", key: "k-1", requestHash: sha256("body") };
const bytes = (text: string) => new TextEncoder().encode(text);
const idempotency = createIdempotency({ box: secretBox("0".repeat(32)) });
const busy = { code: "ABORTED", reason: "IDEMPOTENCY_IN_PROGRESS" };

async function setup(t: Cleanup): Promise<{ ctx: DbCtx; advance(ms: number): void }> {
  const { db } = await testDatabase(t);
  let now = Date.parse("2026-03-01T10:00:00Z");
  const clock: Clock = { ...systemClock, now: () => new Date(now) };
  const ctx = { db, clock, random: systemRandom, log: silentLog };
  return {
    ctx,
    advance: (ms) => {
      now += ms;
    },
  };
}

async function runOf(ctx: DbCtx, call = CALL): Promise<IdempotencyHandle> {
  const begun = await idempotency.begin(ctx, call);
  assert.ok(begun.kind === "run");
  return begun.handle;
}

async function replayOf(ctx: DbCtx, call = CALL): Promise<string> {
  const begun = await idempotency.begin(ctx, call);
  assert.ok(begun.kind === "replay");
  return Buffer.from(begun.answer).toString();
}

test("a repeated call gets the first answer for a day, and runs anew after it", async (t) => {
  const { ctx, advance } = await setup(t);
  await (await runOf(ctx)).complete(bytes("first"));
  assert.equal(await replayOf(ctx), "first");
  advance(DAY_MS - 1);
  assert.equal(await replayOf(ctx), "first");
  advance(1);
  await (await runOf(ctx, { ...CALL, requestHash: sha256("other") })).complete(bytes("second"));
  assert.equal(await replayOf(ctx, { ...CALL, requestHash: sha256("other") }), "second");
});

test("the same key with another request is refused, while the first runs and after", async (t) => {
  const { ctx } = await setup(t);
  const other = { ...CALL, requestHash: sha256("another body") };
  const reused = { code: "ALREADY_EXISTS", reason: "IDEMPOTENCY_KEY_REUSED" };
  const run = await runOf(ctx);
  await assert.rejects(idempotency.begin(ctx, other), reused);
  await run.complete(bytes("first"));
  await assert.rejects(idempotency.begin(ctx, other), reused);
});

test("principals and operations do not share keys", async (t) => {
  const { ctx } = await setup(t);
  await (await runOf(ctx)).complete(bytes("mine"));
  await (await runOf(ctx, { ...CALL, principalId: "u2" })).complete(bytes("theirs"));
  await (await runOf(ctx, { ...CALL, operation: "createUser" })).complete(bytes("another verb"));
  assert.equal(await replayOf(ctx), "mine");
  assert.equal(await replayOf(ctx, { ...CALL, principalId: "u2" }), "theirs");
});

test("of many calls at once one runs; the others are told to come back", async (t) => {
  const { ctx } = await setup(t);
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => idempotency.begin(ctx, CALL)));
  const runs = outcomes.filter((one) => one.status === "fulfilled");
  assert.equal(runs.length, 1);
  for (const one of outcomes) {
    if (one.status === "rejected")
      assert.ok(one.reason.reason === busy.reason && one.reason.retryAfterMs > 0);
  }
});

test("an abandoned call is tried anew, and an answer once given is never abandoned", async (t) => {
  const { ctx } = await setup(t);
  await (await runOf(ctx)).abandon();
  const run = await runOf(ctx);
  await run.complete(bytes("kept"));
  await run.abandon();
  assert.equal(await replayOf(ctx), "kept");
});

test("an answer stored in a transaction is there exactly when the transaction is", async (t) => {
  const { ctx } = await setup(t);
  const run = await runOf(ctx);
  await assert.rejects(
    withTransaction(ctx, async (tx) => {
      await run.completeIn(tx, bytes("never"));
      throw new Error("the database went away");
    }),
    /went away/,
  );
  await assert.rejects(idempotency.begin(ctx, CALL), busy);
  await withTransaction(ctx, (tx) => run.completeIn(tx, bytes("committed")));
  assert.equal(await replayOf(ctx), "committed");
});

test("a call whose process died is driven again, and the dead one can't commit should it wake", async (t) => {
  const { ctx, advance } = await setup(t);
  const dead = await runOf(ctx);
  advance(MINUTE_MS - 1);
  await assert.rejects(idempotency.begin(ctx, CALL), busy);
  advance(1);
  const alive = await runOf(ctx);
  await assert.rejects(
    withTransaction(ctx, (tx) => dead.completeIn(tx, bytes("dead"))),
    busy,
  );
  await dead.complete(bytes("dead"));
  await dead.abandon();
  await alive.complete(bytes("alive"));
  assert.equal(await replayOf(ctx), "alive");
});

test("a call that comes while the answer is being committed waits for it and repeats it", async (t) => {
  const { ctx } = await setup(t);
  const run = await runOf(ctx);
  const stored = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const commit = withTransaction(ctx, async (tx) => {
    await run.completeIn(tx, bytes("late"));
    stored.resolve();
    await release.promise;
  });
  await stored.promise;
  const repeat = replayOf(ctx);
  release.resolve();
  await commit;
  assert.equal(await repeat, "late");
});

test("neither the key nor the answer lies in the database, and another secret opens nothing", async (t) => {
  const { ctx } = await setup(t);
  const call = { ...CALL, key: "canary-key" };
  await (await runOf(ctx, call)).complete(bytes("canary-answer"));
  const { rows } = await sql<{
    row: string;
  }>`select encode(answer, 'escape') || encode(scope_hash, 'escape') as row
    from idempotency_key`.execute(ctx.db);
  assert.equal(rows.length, 1);
  assert.ok(!rows[0]?.row.includes("canary"));
  const elsewhere = createIdempotency({ box: secretBox("1".repeat(32)) });
  assert.equal((await elsewhere.begin(ctx, call)).kind, "run");
  await sql`update idempotency_key set answer = set_byte(answer, 20, get_byte(answer, 20) # 1) where answer is not null`.execute(
    ctx.db,
  );
  await assert.rejects(idempotency.begin(ctx, call), { reason: "INTERNAL" });
});

test("the purge forgets what is older than a day and nothing else", async (t) => {
  const { ctx, advance } = await setup(t);
  await (await runOf(ctx)).complete(bytes("old"));
  advance(DAY_MS);
  await (await runOf(ctx, { ...CALL, key: "k-2" })).complete(bytes("new"));
  assert.equal(await purgeIdempotency(ctx), 1);
  assert.equal(await purgeIdempotency(ctx), 0);
  assert.equal(await replayOf(ctx, { ...CALL, key: "k-2" }), "new");
});
