import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  AddUserBalanceResponseSchema,
  AdminBillingService,
} from "../../../gen/tensormesh/billing/v1/admin_billing_service_pb.js";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
import { money } from "../human.ts";
import type { CliIo } from "../io.ts";
import { run, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { userIdOf } from "../user-ref.ts";
import { AS_ADMIN } from "./admin-users.ts";
import { parseWhen } from "./keys.ts";

interface Options extends CommonOptions {
  readonly note?: string;
  readonly expires?: Date;
}

export function addAdminCredit(admin: Command, io: CliIo): void {
  withCommonOptions(admin.command("credit").description("grant credit to a user"))
    .argument("<user>", "id or e-mail address")
    .argument("<amount>", "such as 25 or 25.50", parseAmount)
    .option("--note <text>", "why, for the books; the user reads it")
    .option(
      "--expires <when>",
      "a date, or a time from now such as 30d; without it it never does",
      parseWhen(io),
    )
    .action((user: string, amount: Amount, options: Options) =>
      run(
        io,
        options,
        async (session) => {
          const targetUserId = await userIdOf(session, user);
          const [granted] = await moneyOf(session, [amount]);
          const request = {
            targetUserId,
            ...(granted && { amount: granted }),
            description: options.note ?? "",
            ...(options.expires && { expiresAt: timestampFromDate(options.expires) }),
          };
          const answer = await session.client(AdminBillingService).addUserBalance(request, session.keyed());
          session.output.message(
            AddUserBalanceResponseSchema,
            answer,
            () => `Granted ${money(granted)}; the balance is ${money(answer.balance)} now.\n`,
          );
        },
        AS_ADMIN,
      ),
    );
}
