import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { credit, fixture, tokenPriceOf, units, usage } from "../../../test/support/billing.ts";
import { parsePage } from "../../base/page.ts";
import { StatusError } from "../../base/status.ts";
import { ingestUsage, leaseSlice } from "../index.ts";
import { accountCode, journalQuery, listJournalLines } from "./index.ts";
import { monthRange } from "./month.ts";

async function whole(ctx: Parameters<typeof listJournalLines>[0], month: string, pageSize: number) {
  const lines = [];
  let pageToken = "";
  do {
    const page = parsePage({ pageSize, pageToken }, journalQuery(month));
    const answer = await listJournalLines(ctx, month, page);
    lines.push(...answer.rows);
    pageToken = answer.nextPageToken;
  } while (pageToken !== "");
  return lines;
}

test("a month's journal has every line of the ledger once, balanced, whatever the pages; the next month has the rest", async (t) => {
  const f = await fixture(t);
  const price = await tokenPriceOf(f);
  await credit(f, units(50));
  const { sliceId } = await leaseSlice(f.ctx, {
    ...{ gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: "USD", now: f.now() },
  });
  await ingestUsage(f.ctx, [usage(f, { sliceId, priceVersionId: price.versionId })]);
  // 1 March 10:00 and on to the last millisecond of the month, then the first of the next one.
  f.advance(Date.parse("2026-03-31T23:59:59.999Z") - f.now().getTime());
  await credit(f, units(2));
  f.advance(1);
  await credit(f, units(3));
  for (const pageSize of [1, 2, 3, 1_000]) {
    const march = await whole(f.ctx, "2026-03", pageSize);
    assert.deepEqual(
      march.map(({ code, kind, nanos }) => [code, accountCode(kind), nanos]),
      [
        ["credit.grant", "6100", -units(50)],
        ["credit.grant", "2150", units(50)],
        ["charge.tokens", "2150", -1_800_000n],
        ["charge.tokens", "4200", 1_800_000n],
        ["credit.grant", "6100", -units(2)],
        ["credit.grant", "2150", units(2)],
      ],
    );
    assert.deepEqual(
      march.map(({ ownerId }) => ownerId),
      [null, f.userId, f.userId, null, null, f.userId],
    );
  }
  assert.deepEqual(
    (await whole(f.ctx, "2026-04", 50)).map(({ nanos }) => nanos),
    [-units(3), units(3)],
  );
  const { rows } = await sql<{ resource: string }>`
    select resource from audit_event where action = 'journal.read'`.execute(f.ctx.db);
  assert.deepEqual(
    rows.map(({ resource }) => resource).sort(),
    [...Array(4).fill("journal:2026-03"), "journal:2026-04"],
    "each reading is noted once, not each page",
  );
});

test("months have the days that the calendar gives them, and what is no month is refused", () => {
  const days = (month: string) => {
    const { from, to } = monthRange(month);
    return (to.getTime() - from.getTime()) / 86_400_000;
  };
  assert.deepEqual(["2028-02", "2026-02", "2100-02", "2026-12", "2026-04"].map(days), [29, 28, 28, 31, 30]);
  for (const bad of ["2026-13", "2026-00", "2026-3", "0000-01", "9999-12", "2026-03-01", ""]) {
    assert.throws(
      () => monthRange(bad),
      (error) => error instanceof StatusError && error.violations[0]?.field === "month",
      bad,
    );
  }
});

test("every kind of account that the ledger has is in the chart, each under a code of its own", async (t) => {
  const f = await fixture(t);
  const { rows } = await sql<{ kind: string }>`select kind from ledger_account_kind order by kind`.execute(
    f.ctx.db,
  );
  const codes = rows.map(({ kind }) => accountCode(kind));
  assert.deepEqual(
    rows.filter(({ kind }) => accountCode(kind) === "9999"),
    [],
  );
  assert.equal(new Set(codes).size, codes.length);
});

test("a token of another month's journal, or of none, is refused", async (t) => {
  const { ctx } = await fixture(t);
  const token = Buffer.from(JSON.stringify(["journal 2026-03", "1; drop", "1"])).toString("base64url");
  assert.throws(() =>
    listJournalLines(ctx, "2026-03", parsePage({ pageSize: 1, pageToken: token }, journalQuery("2026-03"))),
  );
  assert.throws(() => parsePage({ pageSize: 1, pageToken: token }, journalQuery("2026-04")));
});
