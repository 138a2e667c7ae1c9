import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  BillingTransactionService,
  ListBillingTransactionsResponseSchema,
  TransactionStatus,
  TransactionType,
} from "../../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { money, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { modelIdOf } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";
import { pick } from "../wire-words.ts";

interface Options extends CommonOptions, ListOptions {
  readonly type?: string;
  readonly model?: string;
  readonly user?: string;
}

export function addTransactions(program: Command, io: CliIo): void {
  withCommonOptions(
    withListOptions(program.command("transactions").description("what moved the balance, newest first")),
  )
    .option("--type <type>", "top_up, credit, gpu_usage, token_usage, refund, adjustment or dispute")
    .option("--model <model>", "only of this model, by id or name")
    .option("--user <id>", "another user's, for administrators")
    .action((options: Options) => run(io, options, (session) => transactions(session, options)));
}

async function transactions(session: Session, options: Options): Promise<void> {
  const client = session.client(BillingTransactionService);
  const query = {
    userId: options.user ?? "",
    type:
      options.type === undefined
        ? TransactionType.UNSPECIFIED
        : pick(TransactionType, options.type.toUpperCase().replaceAll("-", "_"), "--type", ""),
    modelId: options.model === undefined ? "" : await modelIdOf(session, options.model),
  };
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listBillingTransactions({ ...query, ...page });
    return { items: answer.transactions, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListBillingTransactionsResponseSchema, { transactions: [...items], nextPageToken });
  const rows = items.map((one) => [
    time(one.createdAt),
    one.code || (TransactionType[one.type] ?? ""),
    money(one.amount),
    one.status === TransactionStatus.SUCCEEDED ? "" : (TransactionStatus[one.status] ?? ""),
    one.description,
  ]);
  const columns = [
    { title: "TIME" },
    { title: "KIND" },
    { title: "AMOUNT", right: true },
    { title: "" },
    { title: "WHAT" },
  ];
  session.output.message(ListBillingTransactionsResponseSchema, answer, () =>
    rows.length === 0 ? "There are no transactions.\n" : table(columns, rows) + moreLine(nextPageToken),
  );
}
