import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../../test/support/postgres.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { layGround, prove } from "./index.ts";

/** A few within `npm test`; SLIPWAY_PROOF_HISTORIES many, SLIPWAY_PROOF_SEED one again. */
const HISTORIES = Number(process.env.SLIPWAY_PROOF_HISTORIES ?? 8);
const SEED = Number(process.env.SLIPWAY_PROOF_SEED ?? 1);

test("no history of crashes, losses and repeats overdraws anybody, loses or doubles a charge, or keeps free money out of reach for long", async (t) => {
  const { db } = await testDatabase(t);
  const ground = await layGround({ random: systemRandom, log: silentLog }, db);
  const proof = await prove(ground, { firstSeed: SEED, histories: HISTORIES });
  const { failed, ...counts } = proof;
  t.diagnostic(JSON.stringify(counts, (_, value) => (typeof value === "bigint" ? String(value) : value)));
  if (failed) assert.fail(`seed ${failed.seed}: ${failed.what}\n${failed.story.join("\n")}`);
  assert.equal(proof.overdraftMaxNanos, 0n);
  for (const count of [proof.served, proof.refused, proof.faults, proof.windows]) assert.ok(count > 0);
});
