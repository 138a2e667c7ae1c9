/** Credit beside card money: what is spent first, what expires, and that nothing of it is lost or made. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import { CURRENCY, type Fixture, fixture, units } from "../../../test/support/billing.ts";
import { createUser } from "../../identity/index.ts";
import { auditLedger, checkBooks } from "../index.ts";
import {
  captureHolds,
  endHold,
  expirePot,
  placeHold,
  postCredit,
  postTransfer,
  readBalance,
  rebuildBalances,
  selectDuePots,
  selectPots,
  sumOfKind,
} from "./index.ts";

const HOUR_MS = 3_600_000;
const money = (nanos: bigint, currency = CURRENCY) => ({ currency, nanos });

let keys = 0;
const key = () => `k${++keys}`;

const topUp = (f: Fixture, nanos: bigint, ownerId = f.userId) =>
  postTransfer(f.ctx, { key: key(), code: "topup.card", ownerId, money: money(nanos), at: f.now() });

/** Hours from now; null: it does not expire. */
const grant = (f: Fixture, nanos: bigint, hours: number | null, ownerId = f.userId) =>
  postCredit(f.ctx, {
    ...{ key: key(), code: "credit.grant", ownerId, money: money(nanos), at: f.now() },
    pot:
      hours === null
        ? null
        : { potId: f.ctx.random.uuid(), expiresAt: new Date(f.now().getTime() + hours * HOUR_MS) },
  });

const hold = (f: Fixture, nanos: bigint, purpose: "slice" | "refund" = "slice", ownerId = f.userId) =>
  placeHold(f.ctx, {
    ...{ holdId: f.ctx.random.uuid(), key: key(), purpose, ownerId, money: money(nanos) },
    ...{ at: f.now(), expiresAt: null },
  });

const take = (f: Fixture, holdId: string, nanos: bigint, ends = true) =>
  captureHolds(f.ctx, [{ holdId, key: key(), code: "charge.tokens", nanos, ends, at: f.now() }]);

const release = (f: Fixture, holdId: string) => endHold(f.ctx, { holdId, state: "released", at: f.now() });

async function expireAll(f: Fixture): Promise<bigint> {
  let nanos = 0n;
  for (const { accountId } of await selectDuePots(f.ctx, f.now(), 100))
    nanos += (await expirePot(f.ctx, accountId, f.now()))?.nanos ?? 0n;
  return nanos;
}

const lefts = async (f: Fixture, ownerId = f.userId) =>
  (await selectPots(f.ctx, { ownerId, currency: CURRENCY, limit: 100 })).map(({ leftNanos }) => leftNanos);

const balance = (f: Fixture, ownerId = f.userId) => readBalance(f.ctx, ownerId, CURRENCY);

const sound = async (f: Fixture) => {
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
  assert.equal(await rebuildBalances(f.ctx), 0);
};

test("a charge takes the credit that expires soonest, then what does not expire, then card money", async (t) => {
  const f = await fixture(t);
  await topUp(f, units(10));
  await grant(f, units(3), null);
  await grant(f, units(2), 48);
  await grant(f, units(1), 24);
  assert.deepEqual(await lefts(f), [units(1), units(2), units(3)]);
  const { holdId } = await hold(f, units(8));
  await take(f, holdId, units(1.5), false);
  assert.deepEqual(await lefts(f), [units(1.5), units(3)]);
  await take(f, holdId, units(6));
  const { totalNanos, creditNanos, cardAvailableNanos, heldNanos } = await balance(f);
  assert.deepEqual(
    [totalNanos, creditNanos, cardAvailableNanos, heldNanos],
    [units(8.5), 0n, units(8.5), 0n],
  );
  await sound(f);
});

test("what a hold did not need goes back to the pots that it came from", async (t) => {
  const f = await fixture(t);
  await topUp(f, units(10));
  await grant(f, units(1), 24);
  await grant(f, units(2), 48);
  const first = await hold(f, units(5));
  const second = await hold(f, units(4));
  assert.equal((await balance(f)).cardAvailableNanos, units(4));
  await release(f, second.holdId);
  await take(f, first.holdId, units(0.25));
  assert.deepEqual(await lefts(f), [units(0.75), units(2)]);
  assert.equal((await balance(f)).cardAvailableNanos, units(10));
  await sound(f);
});

test("from its end on credit is in no balance and no hold takes it; a hold from before keeps what it took", async (t) => {
  const f = await fixture(t);
  await grant(f, units(5), 1);
  const before = await hold(f, units(2));
  f.advance(HOUR_MS - 1);
  await hold(f, units(1)).then(({ holdId }) => release(f, holdId));
  f.advance(1);
  const now = await balance(f);
  assert.deepEqual([now.totalNanos, now.heldNanos, now.availableNanos], [units(2), units(2), 0n]);
  await assert.rejects(hold(f, 1n), {
    reason: "BALANCE_TOO_LOW",
    metadata: { needed: "0.000000001", available: "0.00", currency: CURRENCY },
  });
  assert.equal(await expireAll(f), units(3));
  assert.equal(await expireAll(f), 0n, "once");
  await take(f, before.holdId, units(1.5));
  assert.equal(await expireAll(f), units(0.5), "what the hold gave back expired too");
  assert.equal((await balance(f)).totalNanos, 0n);
  assert.equal(
    await sumOfKind(f.ctx, "credit.granted", CURRENCY),
    -units(1.5),
    "back to where it was granted from",
  );
  await sound(f);
});

test("nothing that goes to a card, a bank or a debt takes credit; a correction takes it first", async (t) => {
  const f = await fixture(t);
  await topUp(f, units(3));
  await grant(f, units(100), null);
  const post = (
    code: "refund.card" | "dispute.card" | "settle.receivable" | "adjustment.debit",
    nanos: bigint,
  ) => postTransfer(f.ctx, { key: key(), code, ownerId: f.userId, money: money(nanos), at: f.now() });
  const short = {
    reason: "BALANCE_TOO_LOW",
    metadata: { needed: "4.00", available: "3.00", currency: CURRENCY },
  };
  for (const code of ["refund.card", "dispute.card", "settle.receivable"] as const)
    await assert.rejects(post(code, units(4)), short);
  await assert.rejects(hold(f, units(4), "refund"), short);
  const { holdId } = await hold(f, units(1), "refund");
  await post("dispute.card", units(2));
  await post("adjustment.debit", units(60));
  assert.deepEqual(await lefts(f), [units(40)]);
  await captureHolds(f.ctx, [
    { holdId, key: key(), code: "refund.card", nanos: units(1), ends: true, at: f.now() },
  ]);
  assert.deepEqual(await balance(f), {
    ...{ currency: CURRENCY, totalNanos: units(40), heldNanos: 0n, availableNanos: units(40) },
    ...{ creditNanos: units(40), cardAvailableNanos: 0n },
  });
  await sound(f);
});

test("keys move credit once: a grant, a hold, a capture and a debit come again and change nothing", async (t) => {
  const f = await fixture(t);
  const at = f.now();
  const expiresAt = new Date(at.getTime() + HOUR_MS);
  const give = (potId: string, nanos = units(5), end = expiresAt) =>
    postCredit(f.ctx, {
      key: "g",
      code: "credit.grant",
      ownerId: f.userId,
      money: money(nanos),
      at,
      pot: { potId, expiresAt: end },
    });
  const first = await give(f.ctx.random.uuid());
  assert.deepEqual(await give(f.ctx.random.uuid()), { ...first, created: false });
  for (const [nanos, end] of [[units(6), expiresAt] as const, [units(5), new Date(0)] as const])
    await assert.rejects(give(f.ctx.random.uuid(), nanos, end), { reason: "IDEMPOTENCY_KEY_REUSED" });
  await topUp(f, units(5));
  const place = (nanos: bigint) =>
    placeHold(f.ctx, {
      holdId: f.ctx.random.uuid(),
      key: "h",
      purpose: "slice",
      ownerId: f.userId,
      money: money(nanos),
      at,
      expiresAt: null,
    });
  const { holdId } = await place(units(8));
  assert.deepEqual(await place(units(8)), { holdId });
  await assert.rejects(place(units(7)), { reason: "IDEMPOTENCY_KEY_REUSED" });
  const capture = (nanos: bigint, ends: boolean) =>
    captureHolds(f.ctx, [{ holdId, key: `c${nanos}`, code: "charge.tokens", nanos, ends, at }]);
  const taken = await capture(units(6), false);
  assert.deepEqual(await capture(units(6), false), taken);
  const rest = await capture(units(1), true);
  assert.deepEqual(await capture(units(1), true), rest);
  assert.equal((await balance(f)).totalNanos, units(3));
  const debit = () =>
    postTransfer(f.ctx, {
      key: "d",
      code: "adjustment.debit",
      ownerId: f.userId,
      money: money(units(1)),
      at,
    });
  await grant(f, units(1), null);
  const moved = await debit();
  assert.deepEqual(await debit(), { ...moved, created: false });
  await sound(f);
});

test("credit of one currency pays nothing in another", async (t) => {
  const f = await fixture(t);
  await postCredit(f.ctx, {
    key: "eur",
    code: "credit.grant",
    ownerId: f.userId,
    money: money(units(5), "EUR"),
    at: f.now(),
    pot: null,
  });
  await topUp(f, units(1));
  await assert.rejects(hold(f, units(2)), { reason: "BALANCE_TOO_LOW" });
  await take(f, (await hold(f, units(1))).holdId, units(1));
  assert.equal((await readBalance(f.ctx, f.userId, "EUR")).creditNanos, units(5));
  await sound(f);
});

test("the program can't touch a pot, and nobody moves its end", async (t) => {
  const f = await fixture(t);
  await grant(f, units(5), 1);
  for (const statement of [
    "update ledger_pot set balance = balance + 1",
    "update ledger_pot set expires_at = null",
    "delete from ledger_hold_credit",
    "insert into ledger_hold_credit select gen_random_uuid(), account_id, 1 from ledger_pot",
    "select ledger_free_credit(gen_random_uuid())",
  ])
    await assert.rejects(sql.raw(statement).execute(f.ctx.db), { code: "42501" }, statement);
  await assert.rejects(
    postTransfer(f.ctx, { key: "x", code: "credit.split", ownerId: f.userId, money: money(1n), at: f.now() }),
  );
  await assert.rejects(
    postTransfer(f.ctx, {
      key: "x",
      code: "credit.expire",
      ownerId: f.userId,
      money: money(1n),
      at: f.now(),
    }),
  );
});

/** One deed; numbers choose among what is there. */
const deed = fc.oneof(
  fc.record({ do: fc.constant("topUp" as const), nanos: fc.integer({ min: 1, max: 50 }) }),
  fc.record({
    do: fc.constant("grant" as const),
    nanos: fc.integer({ min: 1, max: 50 }),
    hours: fc.constantFrom(null, 1, 2, 2, 5),
  }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("hold" as const),
      nanos: fc.integer({ min: 0, max: 80 }),
      refund: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("capture" as const),
      pick: fc.nat(9),
      nanos: fc.integer({ min: 0, max: 80 }),
      ends: fc.boolean(),
    }),
  },
  fc.record({ do: fc.constant("release" as const), pick: fc.nat(9) }),
  fc.record({ do: fc.constant("debit" as const), nanos: fc.integer({ min: 1, max: 30 }) }),
  fc.record({ do: fc.constant("wait" as const), minutes: fc.constantFrom(1, 30, 60) }),
  fc.record({ do: fc.constant("expire" as const) }),
);

interface ModelPot {
  readonly ends: number;
  free: number;
}
interface ModelHold {
  readonly holdId: string;
  readonly refund: boolean;
  /** From the soonest end on; card money has none. */
  readonly parts: { readonly pot: ModelPot | null; rest: number }[];
}

test("after any history each pot, card money and each hold is what plain rules say, and nothing was lost or made", async (t) => {
  const f = await fixture(t);
  await fc.assert(
    fc.asyncProperty(fc.array(deed, { minLength: 25, maxLength: 60 }), async (deeds) => {
      const { id: userId } = await createUser(f.ctx, { displayName: "spender" });
      const pots: ModelPot[] = [{ ends: Number.POSITIVE_INFINITY, free: 0 }];
      const holds: ModelHold[] = [];
      let card = 0;
      let came = 0;
      let went = 0;
      const now = () => f.now().getTime();
      const alive = () => pots.filter((pot) => pot.ends > now()).sort((a, b) => a.ends - b.ends);
      /** From the soonest end on, then card money; null: too little. */
      const draw = (nanos: number, cardOnly: boolean) => {
        const parts: ModelHold["parts"] = [];
        let rest = nanos;
        for (const pot of cardOnly ? [] : alive()) {
          const of = Math.min(rest, pot.free);
          if (of > 0) parts.push({ pot, rest: of });
          rest -= of;
        }
        if (rest > card) return null;
        for (const { pot, rest: of } of parts) if (pot) pot.free -= of;
        card -= rest;
        return [...parts, { pot: null, rest }];
      };
      const giveBack = (one: ModelHold) => {
        for (const { pot, rest } of one.parts) {
          if (pot) pot.free += rest;
          else card += rest;
        }
        holds.splice(holds.indexOf(one), 1);
      };
      for (const one of deeds) {
        if (one.do === "topUp") {
          await topUp(f, BigInt(one.nanos), userId);
          card += one.nanos;
          came += one.nanos;
        } else if (one.do === "grant") {
          await grant(f, BigInt(one.nanos), one.hours, userId);
          if (one.hours === null && pots[0]) pots[0].free += one.nanos;
          else pots.push({ ends: now() + (one.hours ?? 0) * HOUR_MS, free: one.nanos });
          came += one.nanos;
        } else if (one.do === "hold") {
          const parts = draw(one.nanos, one.refund);
          const placed = hold(f, BigInt(one.nanos), one.refund ? "refund" : "slice", userId);
          if (parts === null) await assert.rejects(placed, { reason: "BALANCE_TOO_LOW" });
          else holds.push({ holdId: (await placed).holdId, refund: one.refund, parts });
        } else if (one.do === "capture") {
          const found = holds[one.pick % holds.length];
          if (!found) continue;
          const rest = found.parts.reduce((total, part) => total + part.rest, 0);
          const nanos = Math.min(one.nanos, rest);
          const code = found.refund ? "refund.card" : "charge.tokens";
          await captureHolds(f.ctx, [
            { holdId: found.holdId, key: key(), code, nanos: BigInt(nanos), ends: one.ends, at: f.now() },
          ]);
          let left = nanos;
          for (const part of found.parts) {
            const of = Math.min(left, part.rest);
            part.rest -= of;
            left -= of;
          }
          went += nanos;
          if (one.ends) giveBack(found);
        } else if (one.do === "release") {
          const found = holds[one.pick % holds.length];
          if (!found) continue;
          await release(f, found.holdId);
          giveBack(found);
        } else if (one.do === "debit") {
          const parts = draw(one.nanos, false);
          const debit = {
            key: key(),
            code: "adjustment.debit",
            ownerId: userId,
            money: money(BigInt(one.nanos)),
          } as const;
          const moved = postTransfer(f.ctx, { ...debit, at: f.now() });
          if (parts === null) await assert.rejects(moved, { reason: "BALANCE_TOO_LOW" });
          else {
            await moved;
            went += one.nanos;
          }
        } else if (one.do === "wait") f.advance(one.minutes * 60_000);
        else {
          const over = pots.filter((pot) => pot.ends <= now());
          const gone = over.reduce((total, pot) => total + pot.free, 0);
          const due = (await selectDuePots(f.ctx, f.now(), 1_000)).filter((pot) => pot.ownerId === userId);
          let expired = 0n;
          for (const { accountId } of due)
            expired += (await expirePot(f.ctx, accountId, f.now()))?.nanos ?? 0n;
          assert.equal(expired, BigInt(gone));
          for (const pot of over) pot.free = 0;
          went += gone;
        }
        const held = holds.flatMap(({ parts }) => parts).reduce((total, part) => total + part.rest, 0);
        const credit = alive().reduce((total, pot) => total + pot.free, 0);
        const now_ = await balance(f, userId);
        assert.deepEqual(
          [now_.availableNanos, now_.heldNanos, now_.cardAvailableNanos],
          [BigInt(card + credit), BigInt(held), BigInt(card)],
        );
        const over = pots.filter((pot) => pot.ends <= now()).reduce((total, pot) => total + pot.free, 0);
        assert.equal(card + credit + held + over, came - went, "nothing is lost or made");
      }
    }),
    { numRuns: 12, endOnFailure: true },
  );
  await sound(f);
  const { findings } = await checkBooks(f.ctx, { now: f.now() });
  // Nothing stands behind the holds and charges of this test, and it lets some credit lie.
  const ours = ["balances", "transfers", "currencies", "credit"];
  assert.deepEqual(
    findings.filter(({ check, what }) => ours.includes(check) && !what.includes("an hour ago")),
    [],
  );
});

test("several connections that spend credit and card money at once overdraw neither", async (t) => {
  const f = await fixture(t, { connectionsMax: 8 });
  await topUp(f, units(5));
  await grant(f, units(3), 1);
  await grant(f, units(2), null);
  const results = await Promise.allSettled(
    Array.from({ length: 40 }, async (_, at) => {
      const { holdId } = await hold(f, units(1));
      if (at % 3 === 0) await release(f, holdId);
      else await take(f, holdId, units(0.5));
    }),
  );
  for (const result of results)
    if (result.status === "rejected") assert.equal(result.reason.reason, "BALANCE_TOO_LOW");
  const { totalNanos, heldNanos } = await balance(f);
  assert.equal(heldNanos, 0n);
  assert.equal(totalNanos, units(10) - (await sumOfKind(f.ctx, "revenue.tokens", CURRENCY)));
  await sound(f);
});
