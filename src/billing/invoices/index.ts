export { closeMonths } from "./close-months.ts";
export { draftInvoice } from "./draft-invoice.ts";
export { getInvoice } from "./get-invoice.ts";
export { invoicesQuery, listInvoices } from "./list-invoices.ts";
export type {
  Buyer,
  Invoice,
  InvoiceHead,
  InvoiceLine,
  InvoiceSettings,
  LineDetails,
  LineKind,
  Seller,
} from "./model.ts";
export { renderPdf } from "./render-pdf.ts";
export { balancesOf, sumsOf } from "./sums.ts";
export { describeLine } from "./words.ts";
