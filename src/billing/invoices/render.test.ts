import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { pdfText } from "../../../test/support/pdf-text.ts";
import type { Invoice, InvoiceLine } from "./model.ts";
import { printable } from "./printable.ts";
import { renderPdf } from "./render-pdf.ts";
import { balancesOf, sumsOf } from "./sums.ts";
import { describeLine, roundedAmount } from "./words.ts";

const AT = "2026-03-05T10:00:00.000Z";
const times = { from: AT, to: AT, movements: "1" };

function line(change: Partial<InvoiceLine>): InvoiceLine {
  return { kind: "PAYMENT", code: "topup.card", amountNanos: 1n, details: times, ...change };
}

function invoice(lines: readonly InvoiceLine[], change: Partial<Invoice> = {}): Invoice {
  return {
    number: "INV-2026-000007",
    userId: "11111111-1111-4111-8111-111111111111",
    currency: "USD",
    month: "2026-03",
    openingNanos: 1_000_000_001n,
    closingNanos: 1_000_000_001n + lines.reduce((sum, { amountNanos }) => sum + amountNanos, 0n),
    issuedAt: new Date("2026-04-01T01:00:00Z"),
    lines,
    seller: { name: "Slip & Way", address: "1 Pier\nHarbour", taxId: "XX 123", note: "No tax is due." },
    buyer: { userId: "1", name: "Zoë Łuk", company: "Ada’s (Ltd)", email: "ada@example.com" },
    ...change,
  };
}

const LINES: readonly InvoiceLine[] = [
  line({ amountNanos: 20_000_000_000n }),
  line({ kind: "CREDIT", code: "credit.grant", amountNanos: 5n, details: { ...times, note: "welcome" } }),
  line({
    ...{ kind: "GPU_TIME", code: "charge.gpu", amountNanos: -40_000_000n },
    details: {
      ...{ ...times, provider: "LAMBDA", region: "us-east-1", gpuType: "H100", gpuCount: 2 },
      ...{ chargedMs: "40500", nanosPerHour: "3600000000", shareNanos: "250" },
    },
  }),
  line({
    ...{ kind: "TOKENS", code: "charge.tokens", amountNanos: -5_400_007n },
    details: {
      ...{ ...times, servedName: "acme/chat", requests: "3", promptTokens: "3000", cachedTokens: "1200" },
      ...{ completionTokens: "300", inputNanosPerMillion: "2000000000", outputNanosPerMillion: "6000000000" },
    },
  }),
];

test("a PDF says who, what and how much, exactly, and rounds only beside it", async () => {
  const words = pdfText(await renderPdf(invoice(LINES)))
    .join(" ")
    .replaceAll(/ +/g, " ");
  for (const part of [
    "Invoice INV-2026-000007",
    "Month 2026-03 (UTC)",
    "Issued 2026-04-01",
    "Slip & Way",
    "1 Pier",
    "Harbour",
    "Tax id XX 123",
    "Ada’s (Ltd)",
    "Zoë ?uk",
    "2026-03-05 Payment by card",
    "2026-03-05 Credit: welcome",
    "Time on 2 x H100 in us-east-1: 40.50 s at 3.60 an hour, and 0.00000025 of the cache's savings",
    "Tokens of acme/chat: 3 requests, 3000 in, 1200 of them cached, 300 out",
    "-0.005400007",
    "20.954599999",
    "Rounded: opening 1.00 USD, charged 0.05 USD, closing 20.95 USD.",
    "No tax is due.",
    "Invoice INV-2026-000007, page 1 of 1",
  ]) {
    assert.ok(words.includes(part), `${part} in ${words}`);
  }
});

test("the same invoice is the same bytes, also of many pages, and each line of it is there", async () => {
  const many = invoice(
    Array.from({ length: 120 }, (_, at) => line({ details: { ...times, note: `number ${at};` } })),
  );
  const [one, other] = [await renderPdf(many), await renderPdf(many)];
  assert.ok(one.equals(other));
  const text = pdfText(one).join(" ");
  for (let at = 0; at < 120; at++) assert.ok(text.includes(`number ${at};`), `line ${at}`);
  const pages = [...text.matchAll(/page (\d+) of (\d+)/g)].map(([, page, count]) => [page, count]);
  assert.ok(pages.length > 1);
  assert.deepEqual(
    pages,
    pages.map((_, at) => [String(at + 1), String(pages.length)]),
  );
});

test("hostile words stay words, and a draft has no number", async () => {
  const hostile = "(\\) Tj ET \u0000\u202e=1+1 𝓧 漢";
  const draft = invoice([line({ details: { ...times, note: hostile } })], {
    number: "",
    buyer: { userId: "1", name: hostile.repeat(40), company: "", email: "" },
  });
  const text = pdfText(await renderPdf(draft)).join(" ");
  assert.ok(text.includes("Draft of 2026-03"));
  assert.ok(text.includes("(\\) Tj ET ??=1+1 ? ?"));
});

test("whatever is not printable becomes one question mark, and all else stays", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const shown = printable(text);
      assert.equal([...shown].length, [...text.normalize("NFC")].length);
      assert.equal(printable(shown), shown);
    }),
  );
});

test("sums and balances follow from the lines, and rounding is half away from zero to the currency's coin", () => {
  assert.deepEqual(sumsOf({ lines: LINES }), { creditedNanos: 20_000_000_005n, chargedNanos: 45_400_007n });
  const one = invoice(LINES);
  assert.equal(balancesOf(one).at(-1), one.closingNanos);
  assert.deepEqual(
    [5_000_000n, -5_000_000n, 4_999_999n, -4_999_999n, 1_234_567_890_000n].map((nanos) =>
      roundedAmount(nanos, "USD"),
    ),
    ["0.01", "-0.01", "0.00", "0.00", "1234.57"],
  );
  assert.deepEqual(
    [roundedAmount(1_500_000_000n, "JPY"), roundedAmount(1_200_000_000n, "KWD")],
    ["2", "1.200"],
  );
  assert.equal(describeLine(line({ code: "new.thing" })), "new.thing");
});
