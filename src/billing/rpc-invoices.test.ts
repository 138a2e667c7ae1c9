/** Invoices over REST, through the real edge and database. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { ANYTHING_BUDGETED } from "../../test/support/billing.ts";
import { pdfText } from "../../test/support/pdf-text.ts";
import { people } from "../../test/support/rest-edge.ts";
import { createAuditNotes } from "../audit/index.ts";
import { NANOS_PER_UNIT } from "../base/money.ts";
import { authenticate, requireUsers } from "../identity/index.ts";
import * as edge from "../rpc/index.ts";
import { billingRoutes, closeMonths, configureBilling, grantCredit } from "./index.ts";

test("an invoice is JSON, CSV or PDF as Accept asks; another's is not there, and administrators are noted", async (t) => {
  const { ctx, advance, person } = await people(t, new Date("2026-03-05T10:00:00Z"));
  const { db } = ctx;
  const seller = { series: "INV", name: "Slip & Way", address: "", taxId: "", note: "" };
  await configureBilling(ctx, { currency: "USD", payments: "off", invoices: seller });
  const [ada, bob, root] = [await person("ada"), await person("bob"), await person("root", "ADMIN")];
  const amount = { currency: "USD", nanos: 5n * NANOS_PER_UNIT };
  await grantCredit(ctx, { operatorId: root.id, userId: ada.id, amount, reason: "=1+1", key: "k" });
  advance(30 * 86_400_000);
  await closeMonths(ctx);
  const notes = createAuditNotes(ctx);
  const server = edge.createRpcServer({
    ctx,
    routes: [billingRoutes({ db, edge, budgeted: ANYTHING_BUDGETED, payments: undefined })],
    authenticate: (call, bearer) => authenticate({ ...call, db }, bearer),
    requireUsers: (call, userIds) => requireUsers({ ...call, db }, userIds),
    noteAudit: notes.note,
    openApi: "{}",
    version: "test",
    health: () => ({ ok: true, facts: {} }),
  });
  t.after(() => server.close());
  const get = (path: string, accept = "application/json", { token } = ada) =>
    server.app.inject({
      method: "GET",
      url: `/v1/billing/invoices${path}`,
      headers: { authorization: `Bearer ${token}`, accept },
    });
  const list = (await get("")).json();
  assert.deepEqual(
    [list.invoices[0].invoiceId, list.invoices[0].closingBalance, list.invoices[0].charged.units],
    ["INV-2026-000001", { currencyCode: "USD", units: "5", nanos: 0 }, "0"],
  );
  const one = "/INV-2026-000001";
  const invoice = (await get(one)).json();
  assert.deepEqual(
    [invoice.invoice.seller.name, invoice.invoice.buyer.name, invoice.lines[0].kind],
    ["Slip & Way", "ada", "INVOICE_LINE_KIND_CREDIT"],
  );
  const pdf = await get(`${one}/document`, "application/pdf");
  assert.equal(pdf.headers["content-type"], "application/pdf");
  assert.equal(pdf.headers["content-disposition"], 'attachment; filename="INV-2026-000001.pdf"');
  assert.ok(pdfText(pdf.rawPayload).includes("2026-03-05  Credit: =1+1"));
  assert.ok(
    (await get(`${one}/document?format=INVOICE_FORMAT_PDF`, "*/*")).rawPayload.equals(pdf.rawPayload),
  );
  const csv = await get(`${one}/document`, "text/csv");
  assert.match(String(csv.headers["content-type"]), /^text\/csv/);
  assert.match(csv.body, /\r\n1,INVOICE_LINE_KIND_CREDIT,credit\.grant,Credit: =1\+1,2026-03-05T/);
  assert.equal((await get(one, "text/csv")).body, csv.body);
  for (const path of [one, `${one}/document`, "/INV-2026-000002", "/x", "/%00"]) {
    const refused = await get(path, "application/json", bob);
    assert.deepEqual(
      [refused.statusCode, refused.json().details[0].reason],
      path === "/%00" ? [400, "INVALID_FIELD"] : [404, "INVOICE_NOT_FOUND"],
      path,
    );
  }
  assert.equal((await get(":draft")).json().details[0].reason, "INVOICE_NOT_FOUND", "nothing moved yet");
  assert.equal((await get(":draft?month=2026-07")).json().details[0].reason, "INVALID_FIELD");
  assert.equal((await get(":draft?month=2026-3")).json().details[0].reason, "INVALID_FIELD");
  assert.equal(
    (await get(":draft?month=2026-03")).json().details[0].metadata.invoiceNumber,
    "INV-2026-000001",
  );
  assert.equal((await get(one, "application/json", root)).statusCode, 200);
  await notes.flush(true);
  const { rows } = await sql<{ action: string; subject: string }>`
    select action, subject_id as subject from audit_event where resource = 'invoice:INV-2026-000001' and outcome = 'OK'`.execute(
    db,
  );
  assert.deepEqual(rows, [{ action: "admin.read", subject: ada.id }]);
});
