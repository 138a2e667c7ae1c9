/** Balances from before there were pots of credit, brought into them by the migration. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import { type Cleanup, undoAfter } from "../../../test/support/cleanup.ts";
import { databaseBefore, type OldDatabase } from "../../../test/support/postgres.ts";
import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { lesserNanos } from "../../base/money.ts";
import { parsePage } from "../../base/page.ts";
import { systemRandom } from "../../base/random.ts";
import type { DbCtx } from "../../db/db.ts";
import { APP_ROLE, openDatabase } from "../../db/pool.ts";
import { auditLedger, checkBooks, statement, statementQuery } from "../index.ts";
import { captureHolds, endHold, placeHold, postTransfer, readBalance, selectPots } from "./index.ts";

const IN_CREDIT = ["credit.grant", "adjustment.credit"] as const;
const IN_CARD = ["topup.card", "refund.returned", "dispute.returned"] as const;
const OUT_FIRST = ["charge.gpu", "charge.tokens", "adjustment.debit"] as const;
const OUT_CARD = ["refund.card", "dispute.card", "settle.receivable"] as const;

type Code = (typeof IN_CREDIT | typeof IN_CARD | typeof OUT_FIRST | typeof OUT_CARD)[number];

const deed = fc.record({
  code: fc.constantFrom<Code>(...IN_CREDIT, ...IN_CARD, ...OUT_FIRST, ...OUT_CARD),
  nanos: fc.integer({ min: 1, max: 100 }),
});
const history = fc.record({
  deeds: fc.array(deed, { maxLength: 25 }),
  /** Parts of what is available, in percent, held when the migration comes. */
  holds: fc.array(fc.record({ percent: fc.nat(100), refund: fc.boolean() }), { maxLength: 3 }),
});

interface Split {
  credit: bigint;
  card: bigint;
}

/** The rule, told a second time. */
function play({ credit, card }: Split, code: Code, nanos: bigint): Split {
  const of = <T extends readonly string[]>(codes: T) => codes.includes(code);
  if (of(IN_CREDIT)) return { credit: credit + nanos, card };
  if (of(IN_CARD)) return { credit, card: card + nanos };
  const [first, second] = of(OUT_FIRST) ? [credit, card] : [card, credit];
  const taken = lesserNanos(nanos, first);
  const rest = [first - taken, second - (nanos - taken)] as const;
  return of(OUT_FIRST) ? { credit: rest[0], card: rest[1] } : { credit: rest[1], card: rest[0] };
}

async function oldPost(
  old: OldDatabase,
  userId: string,
  code: Code,
  nanos: bigint,
  key: string,
): Promise<string> {
  const { rows } = await sql<{ outcome: string }>`
    select outcome from ledger_post(${key}, ${code}, ${userId}, 'USD', ${nanos}, now())`.execute(old.db);
  return rows[0]?.outcome ?? "";
}

async function oldHold(old: OldDatabase, userId: string, nanos: bigint, purpose: string): Promise<string> {
  const holdId = systemRandom.uuid();
  const { rows } = await sql<{ outcome: string }>`
    select outcome from ledger_place_hold(${holdId}, ${holdId}, ${purpose}, ${userId}, 'USD', ${nanos}, now(), null)`.execute(
    old.db,
  );
  assert.equal(rows[0]?.outcome, "placed");
  return holdId;
}

function openAsApp(t: Cleanup, url: string): DbCtx {
  const database = openDatabase({ url, connectionsMax: 2, log: silentLog, role: APP_ROLE });
  undoAfter(t, () => database.close());
  return { db: database.db, clock: systemClock, random: systemRandom, log: silentLog };
}

async function statementSum(ctx: DbCtx, userId: string): Promise<bigint> {
  const query = { userId, codes: undefined, modelId: "" };
  const { rows } = await statement(
    ctx,
    query,
    parsePage({ pageSize: 1_000, pageToken: "" }, statementQuery(query)),
  );
  return rows.reduce((total, { nanos }) => total + nanos, 0n);
}

test("each balance is split as its history says, credit spent first; holds and the statement go on as they were", async (t) => {
  const old = await databaseBefore(t, "0025");
  const expected = new Map<
    string,
    { split: Split; refundHeld: bigint; held: bigint; holds: string[]; tokens: bigint }
  >();
  for (const { deeds, holds } of fc.sample(history, { numRuns: 60, seed: 25 })) {
    const userId = systemRandom.uuid();
    let split: Split = { credit: 0n, card: 0n };
    let tokens = 0n;
    for (const [at, { code, nanos }] of deeds.entries()) {
      const outcome = await oldPost(old, userId, code, BigInt(nanos), `${userId}:${at}`);
      if (outcome !== "posted") continue;
      split = play(split, code, BigInt(nanos));
      if (code === "charge.tokens") tokens += BigInt(nanos);
    }
    let held = 0n;
    let refundHeld = 0n;
    const placed: string[] = [];
    for (const { percent, refund } of holds) {
      const nanos = ((split.credit + split.card - held) * BigInt(percent)) / 100n;
      if (nanos === 0n) continue;
      placed.push(await oldHold(old, userId, nanos, refund ? "refund" : "slice"));
      held += nanos;
      if (refund) refundHeld += nanos;
    }
    expected.set(userId, { split, refundHeld, held, holds: placed, tokens });
  }
  await old.migrate();
  const ctx = openAsApp(t, old.url);
  assert.deepEqual(await auditLedger(ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
  const { findings } = await checkBooks(ctx, { now: new Date() });
  const ours = ["balances", "transfers", "currencies", "credit", "chain"];
  assert.deepEqual(
    findings.filter(({ check }) => ours.includes(check)),
    [],
  );
  let split = 0;
  for (const [
    userId,
    {
      split: { credit, card },
      refundHeld,
      held,
      holds,
      tokens,
    },
  ] of expected) {
    const most = credit + card - refundHeld;
    const is = await readBalance(ctx, userId, "USD");
    assert.equal(is.creditNanos, lesserNanos(credit, most));
    assert.deepEqual([is.totalNanos, is.heldNanos], [credit + card, held]);
    const pots = await selectPots(ctx, { ownerId: userId, currency: "USD", limit: 10 });
    assert.deepEqual(
      pots.map(({ expiresAt, potId }) => [expiresAt, potId]),
      is.creditNanos > 0n ? [[null, null]] : [],
    );
    // Tokens are told by their months, which this test does not write.
    assert.equal((await statementSum(ctx, userId)) - tokens, credit + card);
    for (const holdId of holds) await endHold(ctx, { holdId, state: "released", at: new Date() });
    if (is.creditNanos > 0n) split += 1;
  }
  assert.ok(split > 10, "enough of the histories leave credit");
  assert.deepEqual(await auditLedger(ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
});

test("a hold from before is captured out of credit first, a refund from before out of card money, and keys still answer", async (t) => {
  const old = await databaseBefore(t, "0025");
  const userId = systemRandom.uuid();
  await oldPost(old, userId, "credit.grant", 50n, "grant");
  await oldPost(old, userId, "topup.card", 100n, "paid");
  const refund = await oldHold(old, userId, 30n, "refund");
  const slice = await oldHold(old, userId, 80n, "slice");
  await old.migrate();
  const ctx = openAsApp(t, old.url);
  const at = new Date();
  const take = (holdId: string, code: "charge.tokens" | "refund.card", nanos: bigint) =>
    captureHolds(ctx, [{ holdId, key: `take ${holdId}`, code, nanos, ends: true, at }]);
  await take(slice, "charge.tokens", 60n);
  await take(refund, "refund.card", 30n);
  assert.deepEqual(await readBalance(ctx, userId, "USD"), {
    ...{
      currency: "USD",
      totalNanos: 60n,
      heldNanos: 0n,
      availableNanos: 60n,
      creditNanos: 0n,
      cardAvailableNanos: 60n,
    },
  });
  const again = (code: "credit.grant" | "topup.card", key: string, nanos: bigint) =>
    postTransfer(ctx, { key, code, ownerId: userId, money: { currency: "USD", nanos }, at });
  assert.equal((await again("credit.grant", "grant", 50n)).created, false);
  assert.equal((await again("topup.card", "paid", 100n)).created, false);
  await again("credit.grant", "another", 5n);
  await placeHold(ctx, {
    ...{ holdId: systemRandom.uuid(), key: "h", purpose: "slice", ownerId: userId, at, expiresAt: null },
    money: { currency: "USD", nanos: 10n },
  });
  assert.equal((await readBalance(ctx, userId, "USD")).cardAvailableNanos, 55n);
  assert.deepEqual(await auditLedger(ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
});
