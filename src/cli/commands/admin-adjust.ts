import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  type Adjustment,
  AdjustmentDirection,
  AdjustmentKind,
  AdjustmentStatus,
  AdminAdjustmentService,
  ApproveAdjustmentResponseSchema,
  GetAdjustmentResponseSchema,
  ListAdjustmentsResponseSchema,
  ProposeAdjustmentResponseSchema,
  RejectAdjustmentResponseSchema,
} from "../../../gen/slipway/billing/v1/admin_adjustment_service_pb.js";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
import { money, time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts, table } from "../table.ts";
import { userIdOf } from "../user-ref.ts";
import { AS_ADMIN } from "./admin-users.ts";
import { parseWhen } from "./keys.ts";

interface ProposeOptions extends CommonOptions {
  readonly take?: boolean;
  readonly credit?: boolean;
  readonly expires?: Date;
  readonly reason: string;
}

interface RejectOptions extends CommonOptions {
  readonly note?: string;
}

interface FilterOptions extends CommonOptions, ListOptions {
  readonly user?: string;
  readonly open?: boolean;
}

/** admin adjust. */
export function addAdminAdjust(admin: Command, io: CliIo): void {
  const adjust = admin
    .command("adjust")
    .description("correct balances and grant credit, by two administrators above a bound");
  const as = <T extends CommonOptions>(options: T, work: (session: Session) => Promise<void>) =>
    run(io, options, work, AS_ADMIN);
  withCommonOptions(adjust.command("propose").description("add to a balance, or take from it"))
    .argument("<user>", "id or e-mail address")
    .argument("<amount>", "such as 25 or 25.50", parseAmount)
    .requiredOption("--reason <text>", "why, for the books; the user reads it")
    .option("--take", "take the amount from the balance instead of adding it")
    .option("--credit", "a grant of credit, not a correction")
    .option("--expires <when>", "of a grant: a date, or a time from now such as 30d", parseWhen(io))
    .action((user: string, amount: Amount, options: ProposeOptions) =>
      as(options, (session) => propose(session, user, amount, options)),
    );
  withCommonOptions(withListOptions(adjust.command("list").description("list adjustments, newest first")))
    .option("--user <user>", "only this user's, by id or e-mail address")
    .option("--open", "only those that wait for another administrator")
    .action((options: FilterOptions) => as(options, (session) => list(session, options)));
  withCommonOptions(adjust.command("get").description("show one"))
    .argument("<id>")
    .action((adjustmentId: string, options: CommonOptions) =>
      as(options, async (session) => {
        const answer = await session.client(AdminAdjustmentService).getAdjustment({ adjustmentId });
        session.output.message(GetAdjustmentResponseSchema, answer, () => textOf(answer.adjustment));
      }),
    );
  withCommonOptions(adjust.command("approve").description("post what another administrator proposed"))
    .argument("<id>")
    .action((adjustmentId: string, options: CommonOptions) =>
      as(options, async (session) => {
        const client = session.client(AdminAdjustmentService);
        const answer = await client.approveAdjustment({ adjustmentId }, session.keyed());
        session.output.message(ApproveAdjustmentResponseSchema, answer, () => textOf(answer.adjustment));
      }),
    );
  withCommonOptions(adjust.command("reject").description("end a proposal without moving money"))
    .argument("<id>")
    .option("--note <text>", "why not")
    .action((adjustmentId: string, options: RejectOptions) =>
      as(options, async (session) => {
        const client = session.client(AdminAdjustmentService);
        const request = { adjustmentId, note: options.note ?? "" };
        const answer = await client.rejectAdjustment(request, session.keyed());
        session.output.message(RejectAdjustmentResponseSchema, answer, () => textOf(answer.adjustment));
      }),
    );
}

async function propose(
  session: Session,
  user: string,
  amount: Amount,
  options: ProposeOptions,
): Promise<void> {
  const targetUserId = await userIdOf(session, user);
  const [wanted] = await moneyOf(session, [amount]);
  const direction = options.take === true ? AdjustmentDirection.DEBIT : AdjustmentDirection.CREDIT;
  const { reason, credit, expires } = options;
  const request = {
    ...{ targetUserId, direction, reason, ...(wanted && { amount: wanted }) },
    ...(credit === true && { kind: AdjustmentKind.GRANT }),
    ...(expires && { creditExpiresAt: timestampFromDate(expires) }),
  };
  const answer = await session.client(AdminAdjustmentService).proposeAdjustment(request, session.keyed());
  const { adjustment } = answer;
  const next =
    adjustment?.status === AdjustmentStatus.PROPOSED
      ? `Another administrator approves it: slipway admin adjust approve ${adjustment.adjustmentId}\n`
      : "";
  session.output.message(ProposeAdjustmentResponseSchema, answer, () => textOf(adjustment) + next);
}

async function list(session: Session, options: FilterOptions): Promise<void> {
  const { user, open, limit } = options;
  const userId = user === undefined ? "" : await userIdOf(session, user);
  const status = open === true ? AdjustmentStatus.PROPOSED : AdjustmentStatus.UNSPECIFIED;
  const client = session.client(AdminAdjustmentService);
  const { items, nextPageToken } = await collectPages(limit, async (page) => {
    const answer = await client.listAdjustments({ userId, status, ...page });
    return { items: answer.adjustments, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListAdjustmentsResponseSchema, { adjustments: [...items], nextPageToken });
  const titles = ["PROPOSED", "STATUS", "USER", "AMOUNT", "REASON", "BY", "ID"];
  const columns = titles.map((title) => ({ title, right: title === "AMOUNT" }));
  const rows = items.map((one) => [
    time(one.proposedAt),
    AdjustmentStatus[one.status] ?? "",
    one.userId,
    signed(one),
    one.reason,
    one.proposedBy,
    one.adjustmentId,
  ]);
  session.output.message(ListAdjustmentsResponseSchema, answer, () =>
    rows.length === 0 ? "There are no such adjustments.\n" : table(columns, rows) + moreLine(nextPageToken),
  );
}

function signed({ direction, amount }: Adjustment): string {
  return `${direction === AdjustmentDirection.DEBIT ? "-" : "+"}${money(amount)}`;
}

function textOf(one: Adjustment | undefined): string {
  if (!one) return "";
  return facts([
    ["adjustment", one.adjustmentId],
    ["status", AdjustmentStatus[one.status] ?? ""],
    ["user", one.userId],
    ["amount", signed(one)],
    ["credit expires", time(one.creditExpiresAt)],
    ["reason", one.reason],
    ["proposed by", one.proposedBy],
    ["expires", one.status === AdjustmentStatus.PROPOSED ? time(one.expiresAt) : ""],
    ["decided by", one.decidedBy],
    ["note", one.decisionNote],
    ["transaction", one.transactionId],
  ]);
}
