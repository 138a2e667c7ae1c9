import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../../test/support/postgres.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { runDueJobs } from "./index.ts";

test("over several workers a job runs once a period, also when it failed the last time", async (t) => {
  const { db } = await testDatabase(t);
  let now = new Date("2026-01-01T00:00:00Z");
  const clock = { now: () => now, monotonicMs: () => now.getTime(), sleep: async () => {} };
  const ctx = { db, clock, random: systemRandom, log: silentLog };
  let runs = 0;
  const job = {
    name: "count",
    everyMs: 60_000,
    run: async () => {
      runs++;
      if (runs === 1) throw new Error("the first time fails");
    },
  };
  const threeWorkers = () => Promise.all([1, 2, 3].map(() => runDueJobs(ctx, [job])));
  await threeWorkers();
  assert.equal(runs, 1);
  now = new Date(now.getTime() + 59_999);
  await threeWorkers();
  assert.equal(runs, 1);
  now = new Date(now.getTime() + 1);
  await threeWorkers();
  assert.equal(runs, 2);
});
