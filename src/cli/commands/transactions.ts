import { create, type JsonValue } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  BillingTransactionService,
  GetBillingTransactionResponseSchema,
  ListBillingTransactionsResponseSchema,
  TransactionStatus,
  TransactionType,
} from "../../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { money, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { modelIdOf, present } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts, table } from "../table.ts";
import { pick } from "../wire-words.ts";

interface Options extends CommonOptions, ListOptions {
  readonly type?: string;
  readonly model?: string;
  readonly user?: string;
}

interface GetOptions extends CommonOptions {
  readonly user?: string;
}

export function addTransactions(program: Command, io: CliIo): void {
  const group = program.command("transactions").description("what moved the balance");
  const list = group.command("list", { isDefault: true }).description("list transactions, newest first");
  withCommonOptions(withListOptions(list))
    .option("--type <type>", "top_up, credit, gpu_usage, token_usage, refund, adjustment or dispute")
    .option("--model <model>", "only of this model, by id or name")
    .option("--user <id>", "another user's, for administrators")
    .action((options: Options) => run(io, options, (session) => transactions(session, options)));
  withCommonOptions(group.command("get").description("show one transaction with its details"))
    .argument("<id>", "id of the transaction; tokens-2026-03 for a month's tokens")
    .option("--user <id>", "another user's, for administrators")
    .action((id: string, options: GetOptions) => run(io, options, (session) => show(session, id, options)));
}

async function show(session: Session, transactionId: string, options: GetOptions): Promise<void> {
  const client = session.client(BillingTransactionService);
  const answer = await client.getBillingTransaction({ transactionId, userId: options.user ?? "" });
  const one = present(answer.transaction);
  session.output.message(GetBillingTransactionResponseSchema, answer, () =>
    facts([
      ["transaction", one.transactionId],
      ["time", time(one.createdAt)],
      ["kind", one.code],
      ["status", TransactionStatus[one.status] ?? ""],
      ["amount", money(one.amount)],
      ["what", one.description],
      ["model", one.modelId],
      ["payment", one.stripePaymentIntentId],
      ["card", one.paymentMethodId],
      ...Object.entries(one.details ?? {}).flatMap(detail),
    ]),
  );
}

/** "seconds  20", or a line for each of a list: "models  model tiny, requests 3, …". */
function detail([name, value]: readonly [string, JsonValue]): readonly (readonly [string, string])[] {
  if (Array.isArray(value)) return value.map((one) => [name, words(one)]);
  return [[name, words(value)]];
}

function words(value: JsonValue): string {
  if (value === null || typeof value !== "object") return String(value);
  return Object.entries(value)
    .map(([name, one]) => `${name} ${words(one)}`)
    .join(", ");
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
