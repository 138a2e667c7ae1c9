import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  DisputeStatus,
  ListDisputesResponseSchema,
  ListRefundsResponseSchema,
  PaymentRecordService,
} from "../../../gen/slipway/billing/v1/payment_record_service_pb.js";
import { TransactionStatus } from "../../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { money, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";
import { pick } from "../wire-words.ts";

interface Options extends CommonOptions, ListOptions {
  readonly user?: string;
  readonly allUsers?: boolean;
  readonly status?: string;
}

/** refunds list, disputes list. */
export function addPaymentRecords(program: Command, io: CliIo): void {
  const add = (
    name: string,
    what: string,
    words: string,
    list: (session: Session, options: Options) => Promise<void>,
  ) =>
    withCommonOptions(
      withListOptions(
        program
          .command(name)
          .description(what)
          .command("list", { isDefault: true })
          .description(`list ${name}`),
      ),
    )
      .option("--status <status>", words)
      .option("--user <id>", "another user's, for administrators")
      .option("--all-users", "every user's, for administrators")
      .action((options: Options) =>
        run(io, options, (session) => list(session, options), {
          capacity: options.allUsers === true ? "admin" : "user",
        }),
      );
  add("refunds", "money that went back to cards", "pending, succeeded or failed", listRefunds);
  add(
    "disputes",
    "payments that a card's bank took back",
    "inquiry, open, won, lost or closed",
    listDisputes,
  );
}

async function listRefunds(session: Session, options: Options): Promise<void> {
  const client = session.client(PaymentRecordService);
  const status =
    options.status === undefined
      ? TransactionStatus.UNSPECIFIED
      : pick(TransactionStatus, options.status.toUpperCase(), "--status", "");
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listRefunds({ ...whose(options), status, ...page });
    return { items: answer.refunds, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListRefundsResponseSchema, { refunds: [...items], nextPageToken });
  const columns = ["ORDERED", "STATUS", "AMOUNT", "PAYMENT", "REFUND", "WHY"].map(titled);
  const rows = items.map((one) => [
    time(one.createdAt),
    TransactionStatus[one.status] ?? "",
    money(one.amount),
    one.stripePaymentIntentId,
    one.stripeRefundId,
    one.failure || one.description,
  ]);
  session.output.message(ListRefundsResponseSchema, answer, () =>
    rows.length === 0 ? "There are no refunds.\n" : table(columns, rows) + moreLine(nextPageToken),
  );
}

async function listDisputes(session: Session, options: Options): Promise<void> {
  const client = session.client(PaymentRecordService);
  const status =
    options.status === undefined
      ? DisputeStatus.UNSPECIFIED
      : pick(DisputeStatus, options.status.toUpperCase(), "--status", "");
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listDisputes({ ...whose(options), status, ...page });
    return { items: answer.disputes, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListDisputesResponseSchema, { disputes: [...items], nextPageToken });
  const columns = ["BEGAN", "STATUS", "AMOUNT", "REASON", "PAYMENT", "DISPUTE"].map(titled);
  const rows = items.map((one) => [
    time(one.createdAt),
    DisputeStatus[one.status] ?? "",
    money(one.amount),
    one.reason,
    one.stripePaymentIntentId,
    one.stripeDisputeId,
  ]);
  session.output.message(ListDisputesResponseSchema, answer, () =>
    rows.length === 0 ? "There are no disputes.\n" : table(columns, rows) + moreLine(nextPageToken),
  );
}

function whose({ user, allUsers }: Options) {
  return { userId: user ?? "", allUsers: allUsers === true };
}

function titled(title: string) {
  return { title, right: title === "AMOUNT" };
}
