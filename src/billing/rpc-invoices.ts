/** The wire of invoices. */
import { create, toJson } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { HttpBodySchema } from "../../gen/google/api/httpbody_pb.js";
import {
  DownloadInvoiceResponseSchema,
  GetInvoiceDraftResponseSchema,
  GetInvoiceResponseSchema,
  InvoiceFormat,
  InvoiceLineKind,
  InvoiceLineSchema,
  InvoicePartySchema,
  InvoiceSchema,
  type InvoiceService,
  ListInvoicesResponseSchema,
  type InvoiceLine as WireLine,
} from "../../gen/slipway/billing/v1/invoice_service_pb.js";
import { csvOf } from "../base/csv.ts";
import { parsePage } from "../base/page.ts";
import { callCtx, type RoutesDeps } from "../identity/index.ts";
import { gpuTypeToWire, moneyToWire, providerToWire } from "./convert.ts";
import {
  balancesOf,
  describeLine,
  draftInvoice,
  getInvoice,
  type Invoice,
  type InvoiceHead,
  type InvoiceLine,
  invoicesQuery,
  type LineDetails,
  type LineKind,
  listInvoices,
  renderPdf,
  sumsOf,
} from "./invoices/index.ts";
import { readSettings } from "./settings.ts";

export function invoiceService(deps: RoutesDeps): ServiceImpl<typeof InvoiceService> {
  const read = (invoiceId: string, context: HandlerContext) =>
    getInvoice(callCtx(deps, context), deps.edge.principalOf(context), invoiceId);
  return {
    async listInvoices(request, context) {
      const userId = deps.edge.ownerOf(context);
      const page = parsePage(request, invoicesQuery(userId));
      const { rows, nextPageToken } = await listInvoices(callCtx(deps, context), userId, page);
      return create(ListInvoicesResponseSchema, { invoices: rows.map(headToWire), nextPageToken });
    },
    async getInvoice({ invoiceId }, context) {
      const invoice = await read(invoiceId, context);
      return create(GetInvoiceResponseSchema, {
        invoice: invoiceToWire(invoice),
        lines: linesToWire(invoice),
      });
    },
    async downloadInvoice({ invoiceId, format }, context) {
      const invoice = await read(invoiceId, context);
      const asCsv =
        format === InvoiceFormat.CSV ||
        (format === InvoiceFormat.UNSPECIFIED && prefersCsv(context.requestHeader.get("accept")));
      const name = `${invoice.number}.${asCsv ? "csv" : "pdf"}`;
      context.responseHeader.set("content-disposition", `attachment; filename="${name}"`);
      const document = asCsv
        ? { contentType: "text/csv; charset=utf-8; header=present", data: Buffer.from(csvText(invoice)) }
        : { contentType: "application/pdf", data: await renderPdf(invoice) };
      return create(DownloadInvoiceResponseSchema, { document: create(HttpBodySchema, document) });
    },
    async getInvoiceDraft({ month }, context) {
      const ctx = callCtx(deps, context);
      const { currency } = await readSettings(ctx);
      const draft = await draftInvoice(ctx, { userId: deps.edge.ownerOf(context), currency, month });
      return create(GetInvoiceDraftResponseSchema, {
        invoice: invoiceToWire(draft),
        lines: linesToWire(draft),
      });
    },
  };
}

/** What the header Accept prefers of the two forms; PDF where it is as glad of either. */
function prefersCsv(accept: string | null): boolean {
  const types = (accept ?? "").split(",").map((one) => one.split(";")[0]?.trim().toLowerCase());
  return types.includes("text/csv") && !types.includes("application/pdf");
}

/** The same lines as `Accept: text/csv` makes of the invoice. */
function csvText(invoice: Invoice): string {
  const rows = linesToWire(invoice).map((line) =>
    toJson(InvoiceLineSchema, line, { alwaysEmitImplicit: true }),
  );
  return csvOf(InvoiceLineSchema, rows, true);
}

function headToWire(head: InvoiceHead) {
  const { currency } = head;
  return create(InvoiceSchema, {
    invoiceId: head.number,
    userId: head.userId,
    month: head.month,
    issuedAt: timestampFromDate(head.issuedAt),
    openingBalance: moneyToWire(head.openingNanos, currency),
    closingBalance: moneyToWire(head.closingNanos, currency),
    credited: moneyToWire(head.creditedNanos, currency),
    charged: moneyToWire(head.chargedNanos, currency),
  });
}

function invoiceToWire(invoice: Invoice) {
  const { name, address, taxId, note } = invoice.seller;
  const { userId: _, ...buyer } = invoice.buyer;
  const head = headToWire({ ...invoice, ...sumsOf(invoice) });
  head.seller = create(InvoicePartySchema, { name, address, taxId });
  head.buyer = create(InvoicePartySchema, buyer);
  head.note = note;
  return head;
}

const KINDS: Readonly<Record<LineKind, InvoiceLineKind>> = {
  PAYMENT: InvoiceLineKind.PAYMENT,
  CREDIT: InvoiceLineKind.CREDIT,
  GPU_TIME: InvoiceLineKind.GPU_TIME,
  TOKENS: InvoiceLineKind.TOKENS,
  ADJUSTMENT: InvoiceLineKind.ADJUSTMENT,
  REFUND: InvoiceLineKind.REFUND,
  DISPUTE: InvoiceLineKind.DISPUTE,
  OTHER: InvoiceLineKind.OTHER,
};

function linesToWire(invoice: Invoice): WireLine[] {
  const balances = balancesOf(invoice);
  return invoice.lines.map((line, at) => lineToWire(line, at, balances[at] ?? 0n, invoice.currency));
}

function lineToWire(line: InvoiceLine, at: number, balanceNanos: bigint, currency: string): WireLine {
  const { details } = line;
  return create(InvoiceLineSchema, {
    line: at + 1,
    kind: KINDS[line.kind],
    code: line.code,
    description: describeLine(line),
    firstBookedAt: timestampFromDate(new Date(details.from)),
    lastBookedAt: timestampFromDate(new Date(details.to)),
    movements: BigInt(details.movements),
    modelId: details.modelId ?? "",
    servedName: details.servedName ?? "",
    priceVersionId: details.priceVersionId ?? "",
    ...(line.kind === "GPU_TIME" && { gpu: gpuToWire(details, currency) }),
    ...(line.kind === "TOKENS" && { tokens: tokensToWire(details, currency) }),
    stripePaymentIntentId: details.processorId ?? "",
    amount: moneyToWire(line.amountNanos, currency),
    balance: moneyToWire(balanceNanos, currency),
  });
}

function gpuToWire(details: LineDetails, currency: string) {
  const { provider, region = "", gpuType = "UNSPECIFIED", gpuCount = 0, shareNanos } = details;
  return {
    ...(shareNanos !== undefined && { valueShare: moneyToWire(BigInt(shareNanos), currency) }),
    ...(provider && { cloudProvider: providerToWire(provider) }),
    ...{ region, gpuType: gpuTypeToWire(gpuType), gpuCount },
    chargedMs: BigInt(details.chargedMs ?? 0),
    hourlyRate: moneyToWire(BigInt(details.nanosPerHour ?? 0), currency),
  };
}

function tokensToWire(details: LineDetails, currency: string) {
  const price = (nanos: string | undefined) =>
    nanos === undefined ? undefined : moneyToWire(BigInt(nanos), currency);
  return {
    requests: BigInt(details.requests ?? 0),
    promptTokens: BigInt(details.promptTokens ?? 0),
    cachedTokens: BigInt(details.cachedTokens ?? 0),
    completionTokens: BigInt(details.completionTokens ?? 0),
    inputPricePerMillion: price(details.inputNanosPerMillion),
    cachedPricePerMillion: price(details.cachedNanosPerMillion),
    outputPricePerMillion: price(details.outputNanosPerMillion),
  };
}
