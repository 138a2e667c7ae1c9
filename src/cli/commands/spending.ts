import type { Command } from "commander";
import {
  BillingTransactionService,
  GetUserSpendingHistoryResponseSchema,
  GetUserSpendingSummaryResponseSchema,
} from "../../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { day } from "../days.ts";
import { money } from "../human.ts";
import type { CliIo } from "../io.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts, table } from "../table.ts";

interface Options extends CommonOptions {
  readonly user?: string;
}

/** spending, spending history. */
export function addSpending(program: Command, io: CliIo): void {
  const spending = program.command("spending").description("what was spent lately");
  const summary = spending
    .command("summary", { isDefault: true })
    .description("spent in the last 24 hours, 7 days and 30 days");
  withCommonOptions(summary)
    .option("--user <id>", "another user's, for administrators")
    .action((options: Options) => run(io, options, (session) => showSummary(session, options)));
  withCommonOptions(spending.command("history").description("spent and saved by day (UTC), the last month"))
    .option("--user <id>", "another user's, for administrators")
    .action((options: Options) => run(io, options, (session) => showHistory(session, options)));
}

async function showSummary(session: Session, options: Options): Promise<void> {
  const client = session.client(BillingTransactionService);
  const answer = await client.getUserSpendingSummary({ userId: options.user ?? "" });
  session.output.message(GetUserSpendingSummaryResponseSchema, answer, () =>
    facts([
      ["last 24 hours", money(answer.spend24h)],
      ["last 7 days", money(answer.spend7d)],
      ["last 30 days", money(answer.spend30d)],
    ]),
  );
}

async function showHistory(session: Session, options: Options): Promise<void> {
  const client = session.client(BillingTransactionService);
  const answer = await client.getUserSpendingHistory({ userId: options.user ?? "" });
  const columns = [{ title: "DAY" }, { title: "SPENT", right: true }, { title: "SAVED", right: true }];
  const rows = answer.buckets.map((bucket) => [
    day(bucket.bucketStart),
    money(bucket.amount),
    money(bucket.costSaving),
  ]);
  session.output.message(GetUserSpendingHistoryResponseSchema, answer, () => table(columns, rows));
}
