import assert from "node:assert/strict";
import { before, test } from "node:test";
import { testDatabase } from "../../test/support/postgres.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { type Ground, layGround, PROGRAM, prove } from "./index.ts";

/** A few within `npm test`; SLIPWAY_PROOF_HISTORIES many, SLIPWAY_PROOF_SEED one again. */
const HISTORIES = Number(process.env.SLIPWAY_PROOF_HISTORIES ?? 8);
const SEED = Number(process.env.SLIPWAY_PROOF_SEED ?? 1);

/** Its history is a stormy one. */
const STORMY_SEED = 5;

let ground: Ground;
before(async (t) => {
  assert.ok("after" in t);
  const { db } = await testDatabase(t);
  ground = await layGround({ random: systemRandom, log: silentLog }, db);
});

test("no history of crashes, losses and repeats overdraws anybody, loses or doubles a charge, or keeps free money out of reach for long", async (t) => {
  const proof = await prove(ground, { firstSeed: SEED, histories: HISTORIES });
  const { failed, ...counts } = proof;
  t.diagnostic(JSON.stringify(counts, (_, value) => (typeof value === "bigint" ? String(value) : value)));
  if (failed) assert.fail(`seed ${failed.seed}: ${failed.what}\n${failed.story.join("\n")}`);
  assert.equal(proof.overdraftMaxNanos, 0n);
  for (const count of [proof.served, proof.refused, proof.faults, proof.windows]) assert.ok(count > 0);
});

test("a seed tells the same history again, so that a breach can be looked into", async () => {
  const told: string[] = [];
  for (let time = 0; time < 2; time++) {
    const names = new Map<string, string>();
    const proof = await prove(ground, {
      firstSeed: STORMY_SEED,
      histories: 1,
      // Ends as a breach does: with its story.
      subject: { ...PROGRAM, settleSlices: () => Promise.reject(new Error("told")) },
    });
    assert.ok(proof.failed && proof.failed.story.length > 20);
    const nameOf = (id: string) => names.get(id) ?? names.set(id, `#${names.size}`).get(id) ?? "";
    told.push(proof.failed.story.join("\n").replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, nameOf));
  }
  assert.equal(told[0], told[1]);
});
