import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import { type ModelFixture, modelFixture } from "../../test/support/models.ts";
import { ingestUsage, type UsageRecord } from "../billing/index.ts";
import { addServed, getModelMetrics, pruneServed, type RangeName } from "./index.ts";

const HOUR_MS = 3_600_000;

function record(f: ModelFixture, modelId: string, change: Partial<UsageRecord> = {}): UsageRecord {
  const endedAt = f.ctx.clock.now();
  return {
    requestId: f.ctx.random.uuid(),
    gatewayId: "gateway-1",
    modelId,
    servedName: "mine",
    userId: f.owner.userId,
    keyId: null,
    sliceId: null,
    priceVersionId: null,
    promptTokens: 100,
    cachedTokens: 40,
    completionTokens: 11,
    estimated: false,
    outcome: "ok",
    startedAt: new Date(endedAt.getTime() - 1_100),
    endedAt,
    ttftMs: 100,
    ...change,
  };
}

const look = (f: ModelFixture, modelId: string, range: RangeName = "hour", principal = f.owner) =>
  getModelMetrics(f.ctx, { principal, modelId, range });

test("a request that was shipped twice is in the sums once, in all ranges", async (t) => {
  const f = await modelFixture(t);
  const { id } = (await f.deploy()).model;
  const records = [
    record(f, id),
    record(f, id, { outcome: "upstream_error", ttftMs: null, cachedTokens: 0 }),
  ];
  for (const shipped of [records, records.toReversed(), [...records, ...records]]) {
    await ingestUsage(f.ctx, shipped, addServed);
  }
  for (const range of ["hour", "day", "week"] as const) {
    const { total, points, modelId } = await look(f, id, range);
    assert.equal(modelId, id);
    const { ttft, itl, ...sum } = total;
    const expected = { requests: 2, failed: 1, promptTokens: 200, cachedTokens: 40, completionTokens: 22 };
    assert.deepEqual(sum, expected);
    assert.deepEqual([[...ttft.values()], [...itl.values()]], [[1], [1]]);
    assert.equal(points.at(-1)?.sum.requests, 2, "in the step that is going on");
    assert.ok(points.slice(0, -1).every((point) => point.sum.requests === 0));
  }
});

test("what was turned away before an engine saw it says nothing of how a model serves", async (t) => {
  const f = await modelFixture(t);
  const { id } = (await f.deploy()).model;
  await ingestUsage(f.ctx, [record(f, id, { outcome: "rejected" })], addServed);
  assert.equal((await look(f, id)).total.requests, 0);
});

test("the sums of concurrent batches are those of all their requests, and none waits for another for ever", async (t) => {
  const f = await modelFixture(t);
  const { id } = (await f.deploy()).model;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(5), { minLength: 2, maxLength: 6 }), async (sizes) => {
      const before = (await look(f, id)).total.requests;
      const batches = sizes.map((size) =>
        Array.from({ length: size }, (_, at) => record(f, id, { ttftMs: 10 * (at + 1) })),
      );
      await Promise.all(batches.map((batch) => ingestUsage(f.ctx, batch, addServed)));
      assert.equal(
        (await look(f, id)).total.requests - before,
        sizes.reduce((all, size) => all + size, 0),
      );
    }),
    { numRuns: 10 },
  );
});

test("to everybody but its owner and administrators a model has no metrics", async (t) => {
  const f = await modelFixture(t);
  const { id } = (await f.deploy()).model;
  await ingestUsage(f.ctx, [record(f, id)], addServed);
  await assert.rejects(look(f, id, "hour", f.other), { reason: "MODEL_NOT_FOUND" });
  assert.equal((await look(f, id, "hour", { ...f.other, role: "ADMIN" })).total.requests, 1);
});

test("requests leave the hour when it is over, and minutes and hours are forgotten when no chart needs them", async (t) => {
  const f = await modelFixture(t);
  const { id } = (await f.deploy()).model;
  await ingestUsage(f.ctx, [record(f, id)], addServed);
  f.clock.advance(HOUR_MS);
  assert.equal((await look(f, id)).total.requests, 0);
  assert.equal((await look(f, id, "day")).total.requests, 1);
  const rows = async () => {
    const counted = await sql<{ grain: string }>`
      select grain from served_sum union all select grain from latency_sum`.execute(f.ctx.db);
    return counted.rows.map(({ grain }) => grain).sort();
  };
  f.clock.advance(23 * HOUR_MS);
  assert.equal(await pruneServed(f.ctx), 0);
  f.clock.advance(25 * HOUR_MS);
  assert.equal(await pruneServed(f.ctx), 3);
  assert.deepEqual(await rows(), ["hour", "hour", "hour"]);
  assert.equal((await look(f, id, "week")).total.requests, 1);
  f.clock.advance(35 * 24 * HOUR_MS);
  await pruneServed(f.ctx);
  assert.deepEqual(await rows(), []);
});
