import type { Command } from "commander";
import {
  AdminRefundService,
  RefundPaymentResponseSchema,
} from "../../../gen/slipway/billing/v1/admin_refund_service_pb.js";
import { TransactionStatus } from "../../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
import { money } from "../human.ts";
import type { CliIo } from "../io.ts";
import { run, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts } from "../table.ts";
import { AS_ADMIN } from "./admin-users.ts";

interface Options extends CommonOptions {
  readonly note?: string;
}

export function addAdminRefund(admin: Command, io: CliIo): void {
  withCommonOptions(admin.command("refund").description("give money of a payment back to its card"))
    .argument("<payment>", "the payment's id, as `slipway transactions get` shows it")
    .argument("[amount]", "such as 25 or 25.50; default: all that can be refunded", parseAmount)
    .option("--note <text>", "why, for the books")
    .action((payment: string, amount: Amount | undefined, options: Options) =>
      run(
        io,
        options,
        async (session) => {
          const [wanted] = amount === undefined ? [] : await moneyOf(session, [amount]);
          const request = {
            stripePaymentIntentId: payment,
            ...(wanted && { amount: wanted }),
            description: options.note ?? "",
          };
          const answer = await session.client(AdminRefundService).refundPayment(request, session.keyed());
          const { refund } = answer;
          session.output.message(RefundPaymentResponseSchema, answer, () =>
            facts([
              ["amount", money(refund?.amount)],
              ["status", TransactionStatus[refund?.status ?? 0] ?? ""],
              ["refund", refund?.stripeRefundId ?? ""],
              ["user", refund?.userId ?? ""],
            ]),
          );
        },
        AS_ADMIN,
      ),
    );
}
