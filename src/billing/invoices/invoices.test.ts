import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { sql } from "kysely";
import pg from "pg";
import {
  CURRENCY,
  cpuPrice,
  credit,
  type Fixture,
  fixture,
  tokenPriceOf,
  units,
  usage,
  WINDOW_MS,
} from "../../../test/support/billing.ts";
import { parsePage } from "../../base/page.ts";
import { StatusError } from "../../base/status.ts";
import { withTransaction } from "../../db/db.ts";
import { createUser, type Principal } from "../../identity/index.ts";
import {
  balanceOf,
  checkBooks,
  configureBilling,
  endSlot,
  ensureWindowHeld,
  ingestUsage,
  leaseSlice,
  meterProbe,
  settleSlices,
} from "../index.ts";
import { type MovementCode, postTransfer } from "../ledger/index.ts";
import {
  closeMonths,
  describeLine,
  draftInvoice,
  getInvoice,
  type Invoice,
  invoicesQuery,
  listInvoices,
} from "./index.ts";

const SELLER = { name: "Slip & Way", address: "1 Pier\nHarbour", taxId: "XX123", note: "" };
const MODEL = "11111111-1111-4111-8111-111111111111";
const SECOND_MS = 1_000;

async function shop(t: TestContext, options: { connectionsMax?: number } = {}): Promise<Fixture> {
  const f = await fixture(t, options);
  await configureBilling(f.ctx, {
    currency: CURRENCY,
    payments: "test",
    invoices: { series: "INV", ...SELLER },
  });
  return f;
}

const admin = (f: Fixture): Principal => ({
  ...{ userId: f.ctx.random.uuid(), role: "ADMIN", tokenId: "t", scopes: [] },
});

function goTo(f: Fixture, iso: string): void {
  f.advance(Date.parse(iso) - f.now().getTime());
}

/** Every invoice of a user, oldest first. */
async function invoicesOf(f: Fixture, userId = f.userId): Promise<readonly Invoice[]> {
  const page = parsePage({ pageSize: 0, pageToken: "" }, invoicesQuery(userId));
  const { rows } = await listInvoices(f.ctx, userId, page);
  const invoices = [];
  for (const { number } of rows.toReversed()) invoices.push(await getInvoice(f.ctx, admin(f), number));
  return invoices;
}

const move = (f: Fixture, code: MovementCode, nanos: bigint, change: { userId?: string; at?: Date } = {}) =>
  postTransfer(f.ctx, {
    ...{ key: f.ctx.random.uuid(), code, ownerId: change.userId ?? f.userId, at: change.at ?? f.now() },
    money: { currency: CURRENCY, nanos },
  });

/** Three requests and 40 seconds on a CPU replica. */
async function spend(f: Fixture): Promise<void> {
  const tokens = await tokenPriceOf(f);
  const slice = { gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: CURRENCY, now: f.now() };
  const { sliceId } = await leaseSlice(f.ctx, slice);
  for (let request = 0; request < 3; request++) {
    await ingestUsage(f.ctx, [usage(f, { sliceId, priceVersionId: tokens.versionId })]);
  }
  const price = await cpuPrice(f);
  const window = { deploymentId: f.ctx.random.uuid(), slot: 0, modelId: MODEL, userId: f.userId, price };
  const held = { ...window, gpuCount: 0, windowMs: WINDOW_MS, now: f.now() };
  await withTransaction(f.ctx, (tx) => ensureWindowHeld(tx, held));
  const { deploymentId } = window;
  await withTransaction(f.ctx, (tx) => meterProbe(tx, { deploymentId, slot: 0, at: f.now() }));
  for (let probe = 0; probe < 2; probe++) {
    const at = f.advance(20 * SECOND_MS);
    await withTransaction(f.ctx, (tx) => meterProbe(tx, { deploymentId, slot: 0, at }));
  }
  await withTransaction(f.ctx, (tx) => endSlot(tx, { deploymentId, slot: 0, at: f.now() }));
}

test("an invoice has what moved in its month, grouped, and the next begins where it ended", async (t) => {
  const f = await shop(t);
  await credit(f, units(20));
  await spend(f);
  goTo(f, "2026-04-01T00:00:00Z");
  await move(f, "topup.card", units(5));
  assert.deepEqual(await closeMonths(f.ctx), [], "an hour is left for what is under way");
  goTo(f, "2026-04-01T01:00:00Z");
  assert.deepEqual(await closeMonths(f.ctx), ["INV-2026-000001"]);
  assert.deepEqual(await closeMonths(f.ctx), []);
  goTo(f, "2027-01-02T00:00:00Z");
  assert.deepEqual(
    await closeMonths(f.ctx),
    ["INV-2027-000001"],
    "a year's numbers begin anew; months in which nothing moved have none",
  );
  await settleSlices(f.ctx, { now: f.now() });
  const [march, april, ...others] = await invoicesOf(f);
  assert.ok(march && april && others.length === 0);
  assert.deepEqual(
    march.lines.map(({ kind, code, amountNanos }) => [kind, code, amountNanos]),
    [
      ["CREDIT", "credit.grant", units(20)],
      ["GPU_TIME", "charge.gpu", -units(0.04)],
      ["TOKENS", "charge.tokens", -5_400_000n],
    ],
  );
  const [granted, time, tokens] = march.lines.map(({ details }) => details);
  assert.equal(granted?.note, "test");
  assert.deepEqual(
    [time?.modelId, time?.provider, time?.region, time?.gpuCount, time?.chargedMs, time?.nanosPerHour],
    [MODEL, "ONPREM", "local", 0, "40000", String(units(3.6))],
  );
  assert.deepEqual(
    [tokens?.servedName, tokens?.requests, tokens?.promptTokens, tokens?.cachedTokens],
    ["tiny", "3", "3000", "1200"],
  );
  assert.deepEqual(
    [tokens?.completionTokens, tokens?.inputNanosPerMillion, tokens?.outputNanosPerMillion],
    ["300", String(units(2)), String(units(6))],
  );
  assert.deepEqual([march.openingNanos, march.closingNanos], [0n, units(20) - units(0.04) - 5_400_000n]);
  assert.deepEqual(
    [april.openingNanos, april.closingNanos],
    [march.closingNanos, march.closingNanos + units(5)],
  );
  assert.deepEqual([march.seller, march.buyer.name], [SELLER, "payer"]);
  assert.equal((await balanceOf(f.ctx, f.userId)).totalNanos, april.closingNanos);
  assert.deepEqual((await checkBooks(f.ctx, { now: f.now() })).findings, []);
});

test("what is booked late into a closed month is on the next invoice; the closed one stays as it was", async (t) => {
  const f = await shop(t);
  await move(f, "topup.card", units(5));
  const inMarch = f.now();
  goTo(f, "2026-04-02T00:00:00Z");
  await move(f, "topup.card", units(1));
  await closeMonths(f.ctx);
  const [before] = await invoicesOf(f);
  await move(f, "topup.card", units(7), { at: inMarch });
  const draft = await draftInvoice(f.ctx, { userId: f.userId, currency: CURRENCY, month: "" });
  assert.deepEqual(
    [draft.number, draft.month, draft.openingNanos, draft.closingNanos],
    ["", "2026-04", units(5), units(13)],
  );
  goTo(f, "2026-05-02T00:00:00Z");
  await closeMonths(f.ctx);
  // Later than anybody would look at first.
  await move(f, "topup.card", units(2), { at: inMarch });
  goTo(f, "2026-06-02T00:00:00Z");
  await closeMonths(f.ctx);
  const [march, april, may] = await invoicesOf(f);
  assert.deepEqual(march, before);
  assert.deepEqual(april?.lines.map(({ amountNanos }) => amountNanos).sort(), [units(1), units(7)].sort());
  assert.deepEqual(
    april?.lines,
    draft.lines.map((line) => ({ ...line, details: { ...line.details, text: describeLine(line) } })),
    "what the draft had, in words that stay",
  );
  assert.deepEqual(
    may?.lines.map(({ amountNanos, details }) => [amountNanos, details.from]),
    [[units(2), inMarch.toISOString()]],
  );
  assert.deepEqual((await checkBooks(f.ctx, { now: f.now() })).findings, []);
});

test("a draft of a month begins after those that are still open, and there is none of closed, empty or coming months", async (t) => {
  const f = await shop(t);
  await move(f, "topup.card", units(5));
  goTo(f, "2026-04-01T00:30:00Z");
  await move(f, "topup.card", units(1));
  const draft = (month: string) => draftInvoice(f.ctx, { userId: f.userId, currency: CURRENCY, month });
  assert.deepEqual(
    [await draft("2026-03"), await draft("2026-04")].map((one) => [one.openingNanos, one.closingNanos]),
    [
      [0n, units(5)],
      [units(5), units(6)],
    ],
  );
  const reasonOf = (month: string) =>
    draft(month).then(
      () => "",
      (error: unknown) => (error instanceof StatusError ? error.reason : String(error)),
    );
  assert.deepEqual(await Promise.all(["2026-05", "2026-4", "2026-13", "x"].map(reasonOf)), [
    ...Array(4).fill("INVALID_FIELD"),
  ]);
  assert.equal(await reasonOf("2026-02"), "INVOICE_NOT_FOUND");
  goTo(f, "2026-06-01T02:00:00Z");
  await closeMonths(f.ctx);
  assert.equal(await reasonOf("2026-03"), "INVOICE_ISSUED");
  assert.equal(await reasonOf("2026-05"), "INVOICE_NOT_FOUND", "closed, and nothing moved");
});

test("another's invoice and a missing one are the same to a user; without a seller none are issued", async (t) => {
  const f = await shop(t);
  await move(f, "topup.card", units(5));
  goTo(f, "2026-04-02T00:00:00Z");
  await configureBilling(f.ctx, { currency: CURRENCY, payments: "test" });
  assert.deepEqual(await closeMonths(f.ctx), []);
  await configureBilling(f.ctx, {
    ...{ currency: CURRENCY, payments: "test" },
    invoices: { series: "B", ...SELLER },
  });
  const [number = ""] = await closeMonths(f.ctx);
  assert.equal(number, "B-2026-000001");
  const principal = { ...admin(f), role: "USER" } as const;
  for (const [who, asked] of [
    [principal, number],
    [{ ...principal, userId: f.userId }, "B-2026-000002"],
    [{ ...principal, userId: f.userId }, "'; drop"],
  ] as const) {
    await assert.rejects(
      getInvoice(f.ctx, who, asked),
      (error) => error instanceof StatusError && error.reason === "INVOICE_NOT_FOUND",
    );
  }
  const own = await getInvoice(f.ctx, { ...principal, userId: f.userId }, number);
  assert.equal(own.closingNanos, units(5));
});

test("one user's invoice that can't be made holds up nobody else's, and the month stays open for it", async (t) => {
  const f = await shop(t);
  const other = (await createUser(f.ctx, { displayName: "other" })).id;
  await move(f, "topup.card", units(5));
  await move(f, "topup.card", units(3), { userId: other });
  goTo(f, "2026-04-02T00:00:00Z");
  const owner = new pg.Client({ connectionString: f.url });
  await owner.connect();
  try {
    await owner.query(
      `create function no() returns trigger language plpgsql as 'begin raise exception $$no$$; end';
       create trigger zz_no before insert on invoice for each row when (new.user_id = '${other}') execute function no()`,
    );
    await assert.rejects(closeMonths(f.ctx), /1 invoice of 2026-03/);
    assert.equal((await invoicesOf(f)).length, 1);
    await owner.query("drop trigger zz_no on invoice");
  } finally {
    await owner.end();
  }
  await closeMonths(f.ctx);
  assert.deepEqual(
    (await invoicesOf(f, other)).map(({ number, closingNanos }) => [number, closingNanos]),
    [["INV-2026-000002", units(3)]],
  );
});

test("what nobody would read is one line; the database refuses a changed, added or unbalanced line, and a number out of turn", async (t) => {
  const f = await shop(t);
  for (let count = 0; count < 203; count++) await move(f, "topup.card", 1n);
  goTo(f, "2026-04-02T00:00:00Z");
  await closeMonths(f.ctx);
  const [invoice] = await invoicesOf(f);
  assert.deepEqual(
    invoice?.lines.map(({ details, amountNanos }) => [details.movements, amountNanos]),
    [...Array(200).fill(["1", 1n]), ["3", 3n]],
  );
  const owner = new pg.Client({ connectionString: f.url });
  await owner.connect();
  try {
    for (const statement of [
      "update invoice_line set amount_nanos = 1",
      "delete from invoice",
      "truncate invoice",
      "insert into invoice_line select number, 202, kind, code, amount_nanos, details from invoice_line",
      `insert into invoice select 'INV-2026-000003', series, year, 3, user_id, currency, month + 31, upto_transfer_id, closing_nanos,
        closing_nanos, 1, seller, buyer, issued_at from invoice`,
      `insert into invoice select 'INV-2026-000002', series, year, 2, user_id, currency, '2026-04-01', upto_transfer_id, 0,
        closing_nanos, 1, seller, buyer, issued_at from invoice`,
    ]) {
      await assert.rejects(owner.query(statement), statement);
    }
  } finally {
    await owner.end();
  }
});

/** A deed: who, what, how much, and how many days before now it is booked. */
const deed = fc.record({
  user: fc.nat(2),
  code: fc.constantFrom<MovementCode>("topup.card", "credit.grant", "adjustment.debit", "refund.card"),
  nanos: fc.bigInt({ min: 1n, max: 3_000_000_000n }),
  late: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(70) }),
});
const history = fc.array(
  fc.record({ deeds: fc.array(deed, { maxLength: 8 }), days: fc.integer({ min: 1, max: 40 }) }),
  { minLength: 4, maxLength: 8 },
);

test("whatever moves, several workers closing at once and dying midway: no gap, no overlap, to the nano", async (t) => {
  await fc.assert(
    fc.asyncProperty(history, async (months) => {
      const f = await shop(t, { connectionsMax: 12 });
      await crashy(f);
      const users = [f.userId];
      for (const name of ["b", "c"]) users.push((await createUser(f.ctx, { displayName: name })).id);
      for (const { deeds, days } of months) {
        for (const { user, code, nanos, late } of deeds) {
          const at = new Date(f.now().getTime() - late * 86_400_000);
          // What the balance does not have is refused, which is no movement.
          await move(f, code, nanos, { userId: users[user] ?? f.userId, at }).catch(() => {});
        }
        f.advance(days * 86_400_000);
        await Promise.allSettled([1, 2, 3].map(() => closeMonths(f.ctx)));
      }
      f.advance(40 * 86_400_000);
      await eventually(() => closeMonths(f.ctx));
      await requireSound(f, users);
    }),
    { numRuns: 2 },
  );
});

/** Every third invoice or so dies after its number was given. */
async function crashy(f: Fixture): Promise<void> {
  const owner = new pg.Client({ connectionString: f.url });
  await owner.connect();
  await owner.query(
    "create function dies() returns trigger language plpgsql as 'begin raise exception $$died$$; end'",
  );
  await owner.query(
    "create trigger zz_dies after insert on invoice for each row when (random() < 0.3) execute function dies()",
  );
  await owner.end();
}

async function eventually(work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const died = await work().then(
      () => false,
      () => true,
    );
    if (!died) return;
  }
  assert.fail("closing never came to an end");
}

async function requireSound(f: Fixture, users: readonly string[]): Promise<void> {
  const numbers: string[] = [];
  for (const userId of users) {
    let closing = 0n;
    for (const invoice of await invoicesOf(f, userId)) {
      const sum = invoice.lines.reduce((total, line) => total + line.amountNanos, 0n);
      assert.equal(invoice.openingNanos, closing);
      assert.equal(invoice.closingNanos - invoice.openingNanos, sum);
      closing = invoice.closingNanos;
      numbers.push(invoice.number);
    }
    assert.equal(closing, (await balanceOf(f.ctx, userId)).totalNanos);
  }
  const { rows } = await sql<{ whole: boolean }>`
    select bool_and(seq = place) as whole from (
      select seq, row_number() over (partition by series, year order by issued_at, seq) as place from invoice) i`.execute(
    f.ctx.db,
  );
  assert.notEqual(rows[0]?.whole, false);
  assert.equal(new Set(numbers).size, numbers.length);
  assert.deepEqual((await checkBooks(f.ctx, { now: f.now() })).findings, []);
}
