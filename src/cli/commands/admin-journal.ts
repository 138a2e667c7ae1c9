import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  AdminJournalService,
  ListJournalLinesResponseSchema,
} from "../../../gen/slipway/billing/v1/admin_journal_service_pb.js";
import { money, nanosOf, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";

type Options = CommonOptions & ListOptions;

/** admin journal. */
export function addAdminJournal(admin: Command, io: CliIo): void {
  withCommonOptions(
    withListOptions(admin.command("journal").description("the ledger of a month, for bookkeeping")),
  )
    .argument("<month>", "a month (UTC), such as 2026-03")
    .action((month: string, options: Options) =>
      run(io, options, (session) => listJournal(session, month, options)),
    );
}

async function listJournal(session: Session, month: string, options: Options): Promise<void> {
  const client = session.client(AdminJournalService);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listJournalLines({ month, ...page });
    return { items: answer.lines, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListJournalLinesResponseSchema, { lines: [...items], nextPageToken });
  const amount = (value: (typeof items)[number]["debit"]) =>
    value === undefined || nanosOf(value) === 0n ? "" : money(value);
  const columns = [
    ...[{ title: "TIME" }, { title: "TRANSFER" }, { title: "ACCOUNT" }, { title: "KIND" }],
    ...[{ title: "DEBIT", right: true }, { title: "CREDIT", right: true }, { title: "WHAT" }],
  ];
  const rows = items.map((one) => [
    ...[time(one.bookedAt), `${one.transferId}/${one.line}`, one.accountCode, one.accountKind],
    ...[amount(one.debit), amount(one.credit), one.code],
  ]);
  session.output.message(ListJournalLinesResponseSchema, answer, () =>
    rows.length === 0
      ? "Nothing was booked in that month.\n"
      : table(columns, rows) + moreLine(nextPageToken),
  );
}
