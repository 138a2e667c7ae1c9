/** Budgets at the gateway: money that they bound is kept apart from the rest of the user's, and a refusal says which one it was. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { answerJson } from "../../test/support/gateway/fault-replica.ts";
import { chat, oneModel } from "../../test/support/gateway/gateway.ts";
import { ManualClock } from "../../test/support/gateway/manual-clock.ts";
import {
  ALICE_KEY,
  BOB,
  BOB_KEY,
  CATALOGUE_NAME,
  keyOf,
  MemoryControl,
  MODEL,
  offerOf,
} from "../../test/support/gateway/memory-control.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import type { StatusError } from "../base/status.ts";
import { noSteps } from "../base/steps.ts";
import { type Bounded, boundedBy } from "./bounded.ts";
import { Purse, type Reservation } from "./purse.ts";
import { isShort } from "./shortage.ts";

const COMMON = "/v1/chat/completions";
const shared = { model: CATALOGUE_NAME };
const KEY = `key-of-${BOB}`;
const OTHER_KEY = ALICE_KEY;

/** Two keys of one user, of which the first has a budget. */
async function bounded(t: Parameters<typeof oneModel>[0], left: bigint, subject = `key:${KEY}`) {
  const on = await oneModel(t);
  on.control.offers = [offerOf()];
  on.replica.behave = answerJson();
  on.control.balances.set(BOB, 1_000_000n);
  on.control.budgets.set(subject, left);
  on.control.addKey(BOB_KEY, keyOf(BOB, { budgets: new Set([subject]) }));
  on.control.addKey(OTHER_KEY, keyOf(BOB, { keyId: "other", budgets: new Set([subject]) }));
  const ask = (key: string, more: object) => chat(on, { ...shared, ...more }, { key, path: COMMON });
  return { on, ask };
}

test("a key past its budget is refused with which one, what it needs, what is there and when it begins anew; other keys go on", async (t) => {
  const { on, ask } = await bounded(t, 400n);
  const refused = await ask(BOB_KEY, { max_tokens: 4_000 });
  assert.equal(refused.status, 402);
  const { error } = (await refused.json()) as {
    error: { code: string; type: string; message: string; metadata: Record<string, string> };
  };
  assert.deepEqual([error.code, error.type], ["budget_exceeded", "insufficient_quota"]);
  const { budget, subject, period, needed, available, resets_at: resets } = error.metadata;
  assert.deepEqual([budget, subject, period, available], ["key", KEY, "day", "0.000000400"]);
  assert.equal(resets, "2030-01-02T00:00:00.000Z");
  assert.ok(Number(needed) > 8e-6, needed);
  assert.match(error.message, /^The day budget of this key has too little left/);
  assert.equal((await ask(OTHER_KEY, { max_tokens: 4_000 })).status, 200);
  assert.equal((await ask(BOB_KEY, { max_tokens: 16 })).status, 200, "what it affords is served");
  const kept = [...on.control.slices.values()].map(({ subjects }) => subjects.length);
  assert.deepEqual(kept.sort(), [0, 1], "its money is apart from the other key's");
});

test("without max_tokens the answer is bounded by what the budget affords, and the bound is told", async (t) => {
  const { ask } = await bounded(t, 400n, `catalog:${CATALOGUE_NAME}`);
  const answer = await ask(BOB_KEY, {});
  assert.equal(answer.status, 200, await answer.text());
  const told = Number(answer.headers.get("slipway-max-tokens"));
  assert.ok(told >= 16 && told < 200, String(told));
});

test("a budget that fell short is not asked again with each request, and a moment later is", async () => {
  const { clock, control, purse } = purseOf();
  control.budgets.set("key:a", 10n);
  const ask = (nanos: bigint) => purse.reserve(BOB, nanos, clock.monotonicMs() + 1_000, boundsOf("a"));
  for (let i = 0; i < 20; i++) await assert.rejects(ask(100n + BigInt(i)), { reason: "BUDGET_EXCEEDED" });
  assert.equal(control.calls.leases, 1);
  await assert.rejects(ask(11n), (error: StatusError) => error.metadata.needed === "0.000000011");
  assert.equal((await ask(10n)).amountNanos, 10n, "what it affords is had at once");
  control.budgets.set("key:a", 500n);
  await clock.advance(600);
  assert.equal((await ask(100n)).amountNanos, 100n);
});

test("a budget that is set is heard of at once: the next request takes from it", async (t) => {
  const { on, ask } = await bounded(t, 100_000n);
  on.control.addKey(BOB_KEY, keyOf(BOB));
  on.control.budgets.clear();
  assert.equal((await ask(BOB_KEY, { max_tokens: 16 })).status, 200);
  on.control.budgets.set(`model:${MODEL}`, 0n);
  on.control.addKey(BOB_KEY, keyOf(BOB, { budgets: new Set([`model:${MODEL}`]) }));
  on.control.tell(`user:${BOB}`);
  const refused = await ask(BOB_KEY, { max_tokens: 16 });
  assert.equal(refused.status, 402);
  assert.match(await refused.text(), /"budget":"model"/);
});

test("only what budgets bound for this request sets its money apart", () => {
  const offer = { modelId: "m", servedName: "n" };
  const of = (keyId: string | null, ...budgets: string[]) =>
    boundedBy({ keyId, budgets: new Set(budgets) }, offer)?.subjects;
  assert.equal(boundedBy({ keyId: "k", budgets: undefined }, offer), undefined);
  assert.equal(of("k", "key:other", "model:other", "catalog:m"), undefined);
  assert.equal(of(null, "key:null"), undefined);
  assert.deepEqual(of("k", "key:k", "catalog:n"), ["key:k", "catalog:n"]);
  assert.deepEqual(of("k", "model:m"), ["model:m"]);
});

const SUBJECTS = ["key:a", "key:b", "catalog:n"] as const;
const boundsOf = (keyId: string): Bounded | undefined =>
  boundedBy(
    { keyId, budgets: new Set(SUBJECTS) },
    { modelId: "m", servedName: keyId === "free" ? "o" : "n" },
  );

function purseOf() {
  const clock = new ManualClock();
  const control = new MemoryControl();
  control.balances.set(BOB, 10_000n);
  const shipped: string[] = [];
  const given = { clock, log: silentLog, random: systemRandom, steps: noSteps };
  const deps = { ...given, limits: { sliceIdleMs: 30_000 }, control };
  const purse: Purse = new Purse(deps, async () => purse.shipped(shipped.splice(0)));
  return { clock, control, purse, shipped };
}

test("under any history slices count in the budgets of those whom they serve, and all comes back but what was charged", async () => {
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("reserve"),
        key: fc.constantFrom("a", "b", "free"),
        nanos: fc.bigInt({ min: 1n, max: 400n }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constant("settle"),
        which: fc.nat(),
        share: fc.integer({ min: 0, max: 100 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constantFrom("ship", "pass", "recall", "tidy"), which: fc.nat() }),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 50 }), async (steps) => {
      const { clock, control, purse, shipped } = purseOf();
      const start = { "key:a": 1_000n, "key:b": 700n, "catalog:n": 1_200n };
      for (const subject of SUBJECTS) control.budgets.set(subject, start[subject]);
      const open: (Reservation & { readonly key: string })[] = [];
      const charged = new Map<string, bigint>();
      const settle = (one: (typeof open)[number], share: number) => {
        const charge = (one.amountNanos * BigInt(share)) / 100n;
        one.settle(charge, true);
        const slice = control.slices.get(one.sliceId);
        assert.ok(slice && !slice.closed, "a slice is not closed under a request");
        slice.capturedNanos += charge;
        shipped.push(one.sliceId);
        for (const subject of ["", ...(boundsOf(one.key)?.subjects ?? [])])
          charged.set(subject, (charged.get(subject) ?? 0n) + charge);
      };
      for (const one of steps) {
        if ("key" in one) {
          const bounds = boundsOf(one.key);
          const got = await purse
            .reserve(BOB, one.nanos, clock.monotonicMs() + 1_000, bounds)
            .catch((error) => {
              assert.ok(isShort(error), String(error));
            });
          if (!got) continue;
          open.push({ ...got, key: one.key });
          assert.deepEqual(control.slices.get(got.sliceId)?.subjects, bounds?.subjects ?? []);
        } else if ("share" in one) {
          const [taken] = open.splice(one.which % Math.max(open.length, 1), 1);
          if (taken) settle(taken, one.share);
        } else if (one.do === "ship") purse.shipped(shipped.splice(0));
        else if (one.do === "pass") await clock.advance(600);
        else if (one.do === "recall")
          purse.recall([...control.slices.keys()][one.which % Math.max(control.slices.size, 1)] ?? "");
        else await purse.tidy();
        for (const left of control.budgets.values()) assert.ok(left >= 0n, "a budget is overrun");
      }
      for (const one of open.splice(0)) settle(one, 100);
      purse.shipped(shipped.splice(0));
      await purse.tidy(true);
      assert.equal(purse.size, 0);
      assert.equal((control.balances.get(BOB) ?? 0n) + (charged.get("") ?? 0n), 10_000n);
      for (const subject of SUBJECTS)
        assert.equal((control.budgets.get(subject) ?? 0n) + (charged.get(subject) ?? 0n), start[subject]);
    }),
    { numRuns: 80 },
  );
});
