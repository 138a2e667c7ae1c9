import assert from "node:assert/strict";
import { test } from "node:test";
import { InvoiceFormat, InvoiceService } from "../../gen/slipway/billing/v1/invoice_service_pb.js";
import { cli, controlPlane, USER_ID, USER_TOKEN } from "./testing/harness.ts";

const usd = (units: bigint) => ({ currencyCode: "USD", units, nanos: 0 });
const HEAD = {
  ...{ invoiceId: "INV-2026-000001", userId: USER_ID, month: "2026-03" },
  ...{ openingBalance: usd(1n), closingBalance: usd(4n), credited: usd(5n), charged: usd(2n) },
};
const LINES = [
  { line: 1, description: "Payment by card", amount: usd(5n), balance: usd(6n) },
  { line: 2, description: "Tokens of acme/chat", amount: usd(-2n), balance: usd(4n) },
];

test("invoices are listed, shown, drafted, and written as PDF and CSV", async (t) => {
  const asked: unknown[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(InvoiceService, {
      listInvoices: () => ({ invoices: [HEAD] }),
      getInvoice: () => ({ invoice: { ...HEAD, seller: { name: "Slip & Way" } }, lines: LINES }),
      getInvoiceDraft(request) {
        asked.push(request.month);
        return { invoice: { ...HEAD, invoiceId: "" }, lines: LINES };
      },
      downloadInvoice(request) {
        asked.push([request.invoiceId, request.format]);
        return { document: { contentType: "application/pdf", data: Buffer.from("%PDF-1.3 x") } };
      },
    });
  });
  const slipway = await cli(t, { ...plane.env, SLIPWAY_TOKEN: USER_TOKEN });
  const list = await slipway.run(["invoices"]);
  assert.match(list.stdout, /INV-2026-000001 +2026-03 +1\.00 USD +5\.00 USD +2\.00 USD +4\.00 USD/);
  const get = (...more: string[]) => slipway.run(["invoices", "get", "INV-2026-000001", ...more]);
  assert.match((await get()).stdout, /from +Slip & Way[\s\S]*Tokens of acme\/chat +-2\.00 USD/);
  const csv = (await get("--output", "csv")).stdout.split("\r\n");
  assert.equal(csv.length, LINES.length + 2);
  assert.match(csv[0] ?? "", /^line,kind,code,description,/);
  assert.match(csv[2] ?? "", /,-2\.00,USD,4\.00,USD$/);
  assert.equal((await get("--output", "pdf")).stdout, "%PDF-1.3 x");
  const refused = await slipway.run(["invoices", "get", "INV-2026-000001", "--output", "pdf"], {
    isTty: { stdout: true },
  });
  assert.match(refused.stderr, /write it to a file/);
  assert.match((await slipway.run(["invoices", "draft", "2026-04"])).stdout, /invoice +draft/);
  assert.deepEqual(asked, [["INV-2026-000001", InvoiceFormat.PDF], "2026-04"]);
});
