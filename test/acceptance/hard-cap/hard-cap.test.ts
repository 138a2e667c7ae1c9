/**
 * The hard cap on a real Postgres, with real processes that are killed. Nothing of what is checked at the end comes from the program:
 * each process swore on a disk of its own what it did, and the books are read row by row.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import pg from "pg";
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import {
  attachCard,
  checkBooks,
  endSlot,
  sealTransfers,
  setGpuPrice,
  setTokenPrice,
  settleSlices,
  testPayments,
  topUp,
} from "../../../src/billing/index.ts";
import { type DbCtx, withTransaction } from "../../../src/db/db.ts";
import { createUser } from "../../../src/identity/index.ts";
import { testDatabase } from "../../support/postgres.ts";
import { type Fact, factsIn } from "./evidence.ts";
import { fastClock } from "./fast-clock.ts";
import { crowd } from "./processes.ts";

const SECONDS = Number(process.env.SLIPWAY_HARD_CAP_SECONDS ?? 40);
const GATEWAYS = 3;
const WORKERS = 2;
const USERS = 3;
const CENTS_AT_FIRST = 100;
const CENTS_MORE = 60;
/** Less than most requests ask for. */
const SHORT_NANOS = 50_000_000;
/** Between two kills, and between two payments. */
const KILL_MS = 700;
const PAY_MS = 900;
const SAMPLE_MS = 15;
/** After this nothing that was leased can still be open. */
const ALL_OVER_MS = 2 * 3_600_000;
const GAP_MAX_MS = 30_000;

interface World {
  readonly ctx: DbCtx;
  readonly url: string;
  readonly epochMs: number;
  readonly evidence: string;
  readonly users: readonly string[];
  readonly slots: readonly { deploymentId: string; userId: string }[];
  readonly modelId: string;
  readonly price: { versionId: string; nanosPerMillion: string };
  readonly paid: Map<string, bigint>;
}

async function world(t: TestContext): Promise<World> {
  const { db, url } = await testDatabase(t);
  const epochMs = Date.now();
  const ctx: DbCtx = { db, clock: fastClock(epochMs), random: systemRandom, log: silentLog };
  const evidence = await mkdtemp(join(tmpdir(), "slipway-evidence-"));
  t.after(() => rm(evidence, { recursive: true, force: true }));
  const nanosPerMillion = 1_234_567_891n;
  const none = { inputNanosPerMillion: 0n, cachedNanosPerMillion: 0n, currency: "USD", validFrom: null };
  const price = await setTokenPrice(ctx, {
    servedName: "proof",
    outputNanosPerMillion: nanosPerMillion,
    ...none,
  });
  const place = { provider: "ONPREM", region: "local", gpuType: "UNSPECIFIED" } as const;
  await setGpuPrice(ctx, { ...place, currency: "USD", nanosPerHour: 7_000_000_001n, validFrom: null });
  const users: string[] = [];
  const paid = new Map<string, bigint>();
  for (let user = 0; user < USERS; user++) {
    const { id } = await createUser(ctx, { displayName: "payer" });
    await attachCard(ctx, testPayments(), { userId: id, cardId: "pm_card_visa" });
    users.push(id);
  }
  const slots = users.map((userId) => ({ deploymentId: systemRandom.uuid(), userId }));
  const made = {
    ...{ ctx, url, epochMs, evidence, users, slots, paid, modelId: systemRandom.uuid() },
    price: { versionId: price.versionId, nanosPerMillion: String(nanosPerMillion) },
  };
  for (const userId of users) await pay(made, userId, CENTS_AT_FIRST);
  return made;
}

async function pay({ ctx, paid }: World, userId: string, cents: number): Promise<void> {
  const nanos = BigInt(cents) * 10_000_000n;
  const key = systemRandom.uuid();
  await topUp(ctx, testPayments(), { userId, money: { currency: "USD", nanos }, cardId: "", key });
  paid.set(userId, (paid.get(userId) ?? 0n) + nanos);
}

/** Somebody pays more once it does not suffice: there is money, and then there is none, however fast the machine is. */
async function payWhoIsShort(on: World): Promise<void> {
  const short = await rows<{ owner_id: string }>(
    on,
    "select a.owner_id from ledger_balance b join ledger_account a on a.id = b.account_id where b.balance - b.held < $1 order by random() limit 1",
    [SHORT_NANOS],
  );
  for (const { owner_id } of short) await pay(on, owner_id, CENTS_MORE);
}

test("gateways and workers that are killed at any moment never overdraw a user, and count every request once", async (t) => {
  const on = await world(t);
  const homes = await mkdtemp(join(tmpdir(), "slipway-disks-"));
  t.after(() => rm(homes, { recursive: true, force: true }));
  const { url, epochMs, evidence, users, modelId, price, slots } = on;
  const people = crowd(t, [
    ...Array.from({ length: GATEWAYS }, (_, number) => ({
      kind: "gateway" as const,
      order: { url, epochMs, evidence, users, modelId, price, home: join(homes, `${number}`) },
    })),
    ...Array.from({ length: WORKERS }, () => ({
      kind: "worker" as const,
      order: { url, epochMs, evidence, modelId, slots },
    })),
  ]);
  const stop = AbortSignal.timeout(SECONDS * 1_000);
  const [samples] = await Promise.all([
    sample(on, stop),
    every(KILL_MS, stop, () => people.disturb()),
    every(PAY_MS, stop, () => payWhoIsShort(on)),
  ]);
  await people.endWell();
  for (const slot of slots) await end(on, slot.deploymentId);
  await settleSlices(on.ctx, { now: new Date(on.ctx.clock.now().getTime() + ALL_OVER_MS) });
  const told = await checkAll(on, people.lost);
  t.diagnostic(
    `max overdraft = 0: ${JSON.stringify({ ...told, ...people.counts, samples, seconds: SECONDS })}`,
  );
});

async function every(ms: number, stop: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!stop.aborted) {
    await new Promise((resolve) => setTimeout(resolve, 2 * ms * Math.random()));
    if (!stop.aborted) await work();
  }
}

/** Looks at every balance again and again while all of them spend. */
async function sample({ url }: World, stop: AbortSignal): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let count = 0;
  while (!stop.aborted) {
    const { rows } = await client.query(
      "select account_id from ledger_balance where balance < 0 or held < 0 or balance < held",
    );
    assert.deepEqual(rows, []);
    count++;
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  }
  await client.end();
  return count;
}

function end({ ctx }: World, deploymentId: string): Promise<void> {
  return withTransaction(ctx, (tx) => endSlot(tx, { deploymentId, slot: 0, at: ctx.clock.now() }));
}

/** Disks that were lost, and when. */
type Lost = readonly { readonly home: string; readonly atMs: number }[];

async function checkAll(on: World, lost: Lost) {
  const facts = factsIn(on.evidence);
  const requests = await checkRequests(on, facts, lost);
  const gpu = await checkGpu(on, facts);
  for (const userId of on.users) {
    const paid = on.paid.get(userId) ?? 0n;
    const served = (requests.kept.get(userId) ?? 0n) + (gpu.get(userId) ?? 0n);
    assert.ok(served <= paid, `${userId} was served ${served} and paid ${paid}`);
    await checkAccount(on, userId, paid);
  }
  await sealTransfers(on.ctx);
  const { findings } = await checkBooks(on.ctx, { now: on.ctx.clock.now() });
  assert.deepEqual(findings, []);
  const { served, charged, lostWithDisks } = requests;
  const refused = facts.filter(({ kind }) => kind === "refused").length;
  assert.ok(served > 0 && refused > 0, "there was money, and then there was none");
  return { served, refused, charged, lostWithDisks };
}

interface Receipt {
  request_id: string;
  user_id: string;
  slice_id: string;
  charge: string;
  lost: string;
}

/** Every receipt is of a request that ended so; every served one has its receipt, or went with a disk. */
async function checkRequests(on: World, facts: readonly Fact[], lost: Lost) {
  const receipts = await rows<Receipt>(
    on,
    "select request_id, user_id, slice_id, charge_nanos::text as charge, written_off_nanos::text as lost from usage_record",
  );
  const endings = new Map(
    facts.flatMap((one) => (one.kind === "ending" ? [[one.requestId, one] as const] : [])),
  );
  const known = new Map(receipts.map((one) => [one.request_id, one]));
  assert.equal(known.size, receipts.length);
  for (const { request_id, user_id, slice_id, charge, lost: writtenOff } of receipts) {
    const ending = endings.get(request_id);
    assert.ok(ending, `${request_id} is charged and was never served`);
    assert.deepEqual(
      [user_id, slice_id, charge, writtenOff],
      [ending.userId, ending.sliceId, ending.nanos, "0"],
    );
  }
  const kept = new Map<string, bigint>();
  let served = 0;
  let lostWithDisks = 0;
  for (const one of facts) {
    if (one.kind !== "served") continue;
    served++;
    if (known.has(one.requestId)) kept.set(one.userId, (kept.get(one.userId) ?? 0n) + BigInt(one.nanos));
    else {
      const gone = lost.some(({ home, atMs }) => home === one.home && one.swornMs <= atMs);
      assert.ok(gone, `${one.requestId} was served and is in no book, though its disk is there`);
      lostWithDisks++;
    }
  }
  return { kept, served, charged: receipts.length, lostWithDisks };
}

/** No replica is charged for more than the time between successful probes that are near enough. */
async function checkGpu(on: World, facts: readonly Fact[]): Promise<ReadonlyMap<string, bigint>> {
  const charged = new Map<string, bigint>();
  for (const { deploymentId, userId } of on.slots) {
    const times = facts
      .flatMap((one) => ("deploymentId" in one && one.deploymentId === deploymentId ? [one.atMs] : []))
      .sort((one, other) => one - other);
    let proven = 0;
    for (const [index, atMs] of times.entries()) {
      const gap = atMs - (times[index - 1] ?? Number.NEGATIVE_INFINITY);
      if (gap <= GAP_MAX_MS) proven += gap;
    }
    const [slot] = await rows<{ ms: string; nanos: string }>(
      on,
      `select (open_ms + closed_ms)::text as ms, (select coalesce(sum(charge_nanos), 0)::text from gpu_window where deployment_id = $1) as nanos
       from gpu_slot where deployment_id = $1`,
      [deploymentId],
    );
    assert.ok(Number(slot?.ms ?? 0) <= proven, `${slot?.ms} ms are charged and ${proven} proven`);
    assert.equal(BigInt(slot?.nanos ?? 0), (7_000_000_001n * BigInt(slot?.ms ?? 0)) / 3_600_000n);
    charged.set(userId, BigInt(slot?.nanos ?? 0));
  }
  return charged;
}

/** The account, replayed entry by entry, never went below zero; what is left is what was paid less what was charged; nothing is held. */
async function checkAccount(on: World, userId: string, paid: bigint): Promise<void> {
  const [account] = await rows<{ balance: string; held: string; least: string; last: string; paid: string }>(
    on,
    `select b.balance::text as balance, b.held::text as held, h.least::text as least, h.last::text as last, h.paid::text as paid
     from ledger_account a join ledger_balance b on b.account_id = a.id cross join lateral (
       select min(running) as least, (array_agg(running order by transfer_id desc))[1] as last, sum(amount) filter (where amount > 0) as paid
       from (select transfer_id, amount, sum(amount) over (order by transfer_id) as running from ledger_entry where account_id = a.id) e) h
     where a.owner_id = $1 and a.kind = 'user'`,
    [userId],
  );
  assert.ok(account);
  assert.equal(account.held, "0", "every hold has ended");
  assert.equal(account.last, account.balance);
  assert.equal(BigInt(account.paid), paid);
  assert.ok(BigInt(account.least) >= 0n, `the balance was ${account.least}`);
}

async function rows<T extends pg.QueryResultRow>(
  on: World,
  sql: string,
  values: unknown[] = [],
): Promise<T[]> {
  const client = new pg.Client({ connectionString: on.url });
  await client.connect();
  try {
    return (await client.query<T>(sql, values)).rows;
  } finally {
    await client.end();
  }
}
