/** An invoice as a PDF: the same bytes for the same invoice, whenever and wherever it is made. */
import PDFDocument from "pdfkit";
import { formatAmount } from "../../base/money.ts";
import type { Buyer, Invoice, Seller } from "./model.ts";
import { printable } from "./printable.ts";
import { sumsOf } from "./sums.ts";
import { describeLine, roundedAmount } from "./words.ts";

type Doc = InstanceType<typeof PDFDocument>;

const MARGIN = 50;
/** Below it a page has only its number. */
const FOOTER = 70;
const SIZE = 9;
const AMOUNT_WIDTH = 120;
const GAP = 10;

export async function renderPdf(invoice: Invoice): Promise<Buffer> {
  const title = titleOf(invoice);
  const doc = new PDFDocument({
    size: "A4",
    bufferPages: true,
    margins: { top: MARGIN, left: MARGIN, right: MARGIN, bottom: FOOTER },
    // The file's id is made of these: the time of writing would make each copy another file.
    info: {
      ...{ Title: title, Author: printable(invoice.seller.name), Creator: "Slipway", Producer: "Slipway" },
      CreationDate: invoice.issuedAt,
    },
  });
  const pieces: Buffer[] = [];
  const done = new Promise<void>((resolve, reject) => {
    doc.on("data", (piece: Buffer) => pieces.push(piece));
    doc.on("end", resolve);
    doc.on("error", reject);
  });
  head(doc, invoice, title);
  lines(doc, invoice);
  totals(doc, invoice);
  pageNumbers(doc, title);
  doc.end();
  await done;
  return Buffer.concat(pieces);
}

export function titleOf({ number, month }: Invoice): string {
  return number === "" ? `Draft of ${month}` : `Invoice ${number}`;
}

function widthOf(doc: Doc): number {
  return doc.page.width - 2 * MARGIN;
}

function head(doc: Doc, invoice: Invoice, title: string): void {
  doc.font("Helvetica-Bold").fontSize(18).text(title);
  doc.font("Helvetica").fontSize(SIZE).moveDown(0.5);
  doc.text(`Month ${invoice.month} (UTC)`);
  doc.text(`${invoice.number === "" ? "Drawn up" : "Issued"} ${invoice.issuedAt.toISOString().slice(0, 10)}`);
  doc.text(`Currency ${invoice.currency}`).moveDown();
  const half = widthOf(doc) / 2 - GAP;
  const top = doc.y;
  party(doc, "From", sellerLines(invoice.seller), { x: MARGIN, top, width: half });
  const left = doc.y;
  party(doc, "To", buyerLines(invoice.buyer), { x: MARGIN + half + 2 * GAP, top, width: half });
  doc.x = MARGIN;
  doc.y = Math.max(left, doc.y);
  doc.moveDown();
}

function sellerLines({ name, address, taxId }: Seller): readonly string[] {
  return [name, ...address.split("\n"), taxId && `Tax id ${taxId}`].filter((line) => line !== "");
}

function buyerLines({ name, company, email, userId }: Buyer): readonly string[] {
  return [company, name, email, `Account ${userId}`].filter((line) => line !== "");
}

function party(
  doc: Doc,
  label: string,
  text: readonly string[],
  { x, top, width }: { readonly x: number; readonly top: number; readonly width: number },
): void {
  doc.font("Helvetica-Bold").text(label, x, top, { width });
  doc.font("Helvetica");
  for (const line of text) doc.text(printable(line), { width });
}

function lines(doc: Doc, invoice: Invoice): void {
  row(doc, "What", `Amount (${invoice.currency})`, "Helvetica-Bold");
  rule(doc);
  row(doc, "Opening balance", formatAmount(invoice.openingNanos), "Helvetica-Bold");
  for (const line of invoice.lines) {
    row(doc, `${dayOf(line.details.from)}  ${describeLine(line)}`, formatAmount(line.amountNanos));
  }
  rule(doc);
}

function totals(doc: Doc, invoice: Invoice): void {
  const { currency, openingNanos, closingNanos, seller } = invoice;
  const { creditedNanos, chargedNanos } = sumsOf(invoice);
  row(doc, "Payments, credit, refunds and corrections", formatAmount(creditedNanos));
  row(doc, "GPU time and tokens", formatAmount(-chargedNanos));
  row(doc, "Closing balance", formatAmount(closingNanos), "Helvetica-Bold");
  doc.moveDown();
  const rounded = (nanos: bigint) => `${roundedAmount(nanos, currency)} ${currency}`;
  note(
    doc,
    `Rounded: opening ${rounded(openingNanos)}, charged ${rounded(chargedNanos)}, closing ${rounded(closingNanos)}.`,
  );
  note(doc, "Amounts above are exact, to a thousand-millionth; nothing is computed with rounded ones.");
  for (const line of seller.note.split("\n").filter((each) => each !== "")) note(doc, line);
}

function note(doc: Doc, text: string): void {
  doc.font("Helvetica").text(printable(text), MARGIN, doc.y, { width: widthOf(doc) });
}

/** Text to the left, an amount to the right; on the next page where it does not fit. */
function row(doc: Doc, text: string, amount: string, font = "Helvetica"): void {
  const width = widthOf(doc) - AMOUNT_WIDTH - GAP;
  doc.font(font).fontSize(SIZE);
  const words = printable(text);
  const height = doc.heightOfString(words, { width });
  if (doc.y + height > doc.page.height - FOOTER) doc.addPage();
  const top = doc.y;
  doc.text(amount, MARGIN + width + GAP, top, { width: AMOUNT_WIDTH, align: "right", lineBreak: false });
  doc.text(words, MARGIN, top, { width });
  doc.y = top + height + 3;
}

function rule(doc: Doc): void {
  doc
    .moveTo(MARGIN, doc.y)
    .lineTo(doc.page.width - MARGIN, doc.y)
    .lineWidth(0.5)
    .stroke();
  doc.y += 4;
}

function pageNumbers(doc: Doc, title: string): void {
  const { start, count } = doc.bufferedPageRange();
  for (let page = start; page < start + count; page++) {
    doc.switchToPage(page);
    // Text below the margin would open another page.
    doc.page.margins.bottom = 0;
    const text = `${title}, page ${page - start + 1} of ${count}`;
    doc.font("Helvetica").fontSize(SIZE - 1);
    doc.text(text, MARGIN, doc.page.height - MARGIN, {
      width: widthOf(doc),
      align: "right",
      lineBreak: false,
    });
  }
}

function dayOf(time: string): string {
  return time.slice(0, 10);
}
