import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../../test/support/postgres.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { StatusError } from "../base/status.ts";
import { launchGate } from "./launch-gate.ts";

/** Time that passes only by sleeping. */
function clock() {
  let ms = Date.parse("2026-11-25T16:00:00Z");
  return {
    now: () => new Date(ms),
    monotonicMs: () => ms,
    sleep: async (wait: number) => {
      ms += wait;
      await new Promise(setImmediate);
    },
  };
}

test("launches of an account go out one by one and 12 seconds apart, one for each name, and what is unclear counts", async (t) => {
  const { db } = await testDatabase(t);
  const ctx = { clock: clock(), random: systemRandom, log: silentLog };
  const workers = [launchGate({ db, account: "a" }), launchGate({ db, account: "a" })];
  const at = new Map<string, number>();
  let out = 0;
  const launch = (name: string) => async () => {
    assert.equal(out++, 0, "no other call is out");
    await new Promise((resolve) => setTimeout(resolve, 20));
    out--;
    at.set(name, ctx.clock.now().getTime());
    return "launched" as const;
  };
  await Promise.all(workers.map((gate, index) => gate.run(ctx, `r${index}`, launch(`r${index}`))));
  const [first = 0, second = 0] = [...at.values()].sort();
  assert.ok(second - first >= 12_000, `${second - first}`);
  assert.equal(await workers[0]?.run(ctx, "r1", () => assert.fail("launched twice")), "known");

  await ctx.clock.sleep(12_000);
  await assert.rejects(
    workers[0]?.run(ctx, "r2", () => Promise.reject(new Error("no answer"))) ?? assert.fail(),
  );
  await ctx.clock.sleep(12_000);
  assert.equal(await workers[1]?.run(ctx, "r2", () => assert.fail("launched twice")), "known");
  await ctx.clock.sleep(120_000);
  assert.equal(
    await workers[1]?.run(ctx, "r2", launch("r2")),
    "launched",
    "it never appeared, so it may go again",
  );

  await ctx.clock.sleep(12_000);
  const refused = new StatusError({ code: "RESOURCE_EXHAUSTED", reason: "CAPACITY_SHORT", message: "full" });
  assert.deepEqual(await workers[0]?.run(ctx, "r3", async () => ({ refused })), { refused });
  await ctx.clock.sleep(12_000);
  assert.equal(await workers[0]?.run(ctx, "r3", launch("r3")), "launched", "what was refused is not there");
});

test("who gets no turn in time is told so, and who died in its turn holds nobody up for long", async (t) => {
  const { db } = await testDatabase(t);
  const ctx = { clock: clock(), random: systemRandom, log: silentLog };
  const gate = launchGate({ db, account: "a" });
  void gate.run(ctx, "died", () => new Promise(() => {}));
  await new Promise((resolve) => setTimeout(resolve, 100));
  await assert.rejects(
    gate.run(ctx, "next", async () => "launched"),
    (error) => error instanceof StatusError && error.reason === "PLACE_UNAVAILABLE",
  );
  await ctx.clock.sleep(45_000);
  assert.equal(await gate.run(ctx, "next", async () => "launched"), "launched");
});
