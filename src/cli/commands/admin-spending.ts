import type { Command } from "commander";
import {
  AdminBillingService,
  GetUsersSpendingSummaryResponseSchema,
} from "../../../gen/tensormesh/billing/v1/admin_billing_service_pb.js";
import { money } from "../human.ts";
import type { CliIo } from "../io.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";
import { userIdOf } from "../user-ref.ts";
import { AS_ADMIN } from "./admin-users.ts";

export function addAdminSpending(admin: Command, io: CliIo): void {
  withCommonOptions(admin.command("spending").description("what users spent lately"))
    .argument("<users...>", "ids or e-mail addresses")
    .action((users: readonly string[], options: CommonOptions) =>
      run(io, options, (session) => spending(session, users), AS_ADMIN),
    );
}

async function spending(session: Session, users: readonly string[]): Promise<void> {
  const targetUserIds: string[] = [];
  for (const user of users) targetUserIds.push(await userIdOf(session, user));
  const answer = await session.client(AdminBillingService).getUsersSpendingSummary({ targetUserIds });
  const columns = [
    { title: "USER" },
    { title: "24 HOURS", right: true },
    { title: "7 DAYS", right: true },
    { title: "30 DAYS", right: true },
  ];
  const rows = answer.summaries.map((one) => [
    one.userId,
    money(one.spend24h),
    money(one.spend7d),
    money(one.spend30d),
  ]);
  session.output.message(GetUsersSpendingSummaryResponseSchema, answer, () => table(columns, rows));
}
