import { create } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import {
  GetInvoiceDraftResponseSchema,
  GetInvoiceResponseSchema,
  type Invoice,
  InvoiceFormat,
  type InvoiceLine,
  InvoiceService,
  ListInvoicesResponseSchema,
} from "../../../gen/slipway/billing/v1/invoice_service_pb.js";
import { invalidArgument } from "../../base/status.ts";
import { money, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts, table } from "../table.ts";

interface UserOptions extends CommonOptions {
  readonly user?: string;
}
type GetOptions = Omit<CommonOptions, "output"> & { readonly output: CommonOptions["output"] | "pdf" };

const OF_USER = ["--user <id>", "another user's, for administrators"] as const;

/** invoices, invoices get, invoices draft. */
export function addInvoices(program: Command, io: CliIo): void {
  const invoices = program.command("invoices").description("invoices of the months that are over");
  const list = invoices.command("list", { isDefault: true }).description("list invoices, newest first");
  withCommonOptions(withListOptions(list))
    .option(...OF_USER)
    .action((options: UserOptions & ListOptions) =>
      run(io, options, (session) => listInvoices(session, options)),
    );
  withDocuments(
    withCommonOptions(invoices.command("get").description("show an invoice, or get it as a document")),
  )
    .argument("<number>", "number of the invoice, such as INV-2026-000042")
    .action((invoiceId: string, options: GetOptions) => {
      const { output } = options;
      return output === "pdf"
        ? run(io, { ...options, output: "text" }, (session) => writePdf(session, invoiceId))
        : run(io, { ...options, output }, (session) => getInvoice(session, invoiceId));
    });
  withCommonOptions(
    invoices.command("draft").description("show a month that has no invoice yet, as it stands"),
  )
    .argument("[month]", "a month (UTC), such as 2026-03; else the present one")
    .option(...OF_USER)
    .action((month: string | undefined, options: UserOptions) =>
      run(io, options, async (session) => {
        const client = session.client(InvoiceService);
        const answer = await client.getInvoiceDraft({ userId: options.user ?? "", month: month ?? "" });
        session.output.message(GetInvoiceDraftResponseSchema, answer, () =>
          invoiceText(present(answer.invoice), answer.lines),
        );
      }),
    );
}

/** Lets --output be pdf, too. */
function withDocuments(command: Command): Command {
  const output = command.options.find((option) => option.long === "--output");
  if (output instanceof Option) output.choices(["text", "json", "csv", "pdf"]);
  return command;
}

async function listInvoices(session: Session, options: UserOptions & ListOptions): Promise<void> {
  const client = session.client(InvoiceService);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listInvoices({ userId: options.user ?? "", ...page });
    return { items: answer.invoices, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListInvoicesResponseSchema, { invoices: [...items], nextPageToken });
  const amounts = ["OPENING", "CREDITED", "CHARGED", "CLOSING"].map((title) => ({ title, right: true }));
  const rows = items.map((one) => [
    ...[one.invoiceId, one.month],
    ...[one.openingBalance, one.credited, one.charged, one.closingBalance].map(money),
  ]);
  session.output.message(ListInvoicesResponseSchema, answer, () =>
    rows.length === 0
      ? "There are no invoices.\n"
      : table([{ title: "NUMBER" }, { title: "MONTH" }, ...amounts], rows) + moreLine(nextPageToken),
  );
}

async function getInvoice(session: Session, invoiceId: string): Promise<void> {
  const answer = await session.client(InvoiceService).getInvoice({ invoiceId });
  session.output.message(GetInvoiceResponseSchema, answer, () =>
    invoiceText(present(answer.invoice), answer.lines),
  );
}

async function writePdf(session: Session, invoiceId: string): Promise<void> {
  const { io } = session;
  if (io.isTty.stdout) {
    const description = `pdf is no text for a terminal: write it to a file, \`slipway invoices get ${invoiceId} --output pdf > ${invoiceId}.pdf\``;
    throw invalidArgument([{ field: "output", description }]);
  }
  const client = session.client(InvoiceService);
  const { document } = await client.downloadInvoice({ invoiceId, format: InvoiceFormat.PDF });
  io.stdout.write(present(document).data);
}

function invoiceText(invoice: Invoice, lines: readonly InvoiceLine[]): string {
  const { seller, buyer } = invoice;
  const head = facts([
    ["invoice", invoice.invoiceId || "draft"],
    ["month", invoice.month],
    [invoice.invoiceId === "" ? "drawn up" : "issued", time(invoice.issuedAt)],
    ["from", [seller?.name, ...(seller?.address.split("\n") ?? [])].filter(Boolean).join(", ")],
    ["to", [buyer?.company, buyer?.name, buyer?.email].filter(Boolean).join(", ")],
    ["opening", money(invoice.openingBalance)],
    ["credited", money(invoice.credited)],
    ["charged", money(invoice.charged)],
    ["closing", money(invoice.closingBalance)],
  ]);
  const rows = lines.map((line) => [
    time(line.firstBookedAt).slice(0, "2026-03-01".length),
    line.description,
    money(line.amount),
  ]);
  const columns = [{ title: "DAY" }, { title: "WHAT" }, { title: "AMOUNT", right: true }];
  return `${head}\n${table(columns, rows)}`;
}
