import type { Command } from "commander";
import {
  type AutoTopUp,
  AutoTopUpService,
  GetAutoTopUpResponseSchema,
  SetAutoTopUpResponseSchema,
} from "../../../gen/slipway/billing/v1/auto_top_up_service_pb.js";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
import { money } from "../human.ts";
import type { CliIo } from "../io.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { facts } from "../table.ts";

interface SetOptions extends CommonOptions {
  readonly below: Amount;
  readonly amount: Amount;
  readonly dayMax: Amount;
  readonly monthMax: Amount;
}

/** auto-topup show, on, off. */
export function addAutoTopUp(program: Command, io: CliIo): void {
  const group = program.command("auto-topup").description("top-ups by themselves when the balance runs low");
  withCommonOptions(
    group.command("show", { isDefault: true }).description("show whether it is on, and how it went"),
  ).action((options: CommonOptions) => run(io, options, show));
  withCommonOptions(
    group.command("on").description("pay by the default card when less than that is available"),
  )
    .requiredOption("--below <amount>", "pay when less than this is available", parseAmount)
    .requiredOption("--amount <amount>", "how much to take at once", parseAmount)
    .requiredOption("--day-max <amount>", "the most in one day (UTC)", parseAmount)
    .requiredOption("--month-max <amount>", "the most in one month (UTC)", parseAmount)
    .action((options: SetOptions) => run(io, options, (session) => switchOn(session, options)));
  withCommonOptions(group.command("off").description("pay nothing by itself any more")).action(
    (options: CommonOptions) => run(io, options, switchOff),
  );
}

async function show(session: Session): Promise<void> {
  const answer = await session.client(AutoTopUpService).getAutoTopUp({});
  session.output.message(GetAutoTopUpResponseSchema, answer, () => textOf(answer.autoTopUp));
}

async function switchOn(session: Session, options: SetOptions): Promise<void> {
  const { below, amount, dayMax, monthMax } = options;
  const [threshold, wanted, most, mostOfMonth] = await moneyOf(session, [below, amount, dayMax, monthMax]);
  const answer = await session.client(AutoTopUpService).setAutoTopUp(
    {
      enabled: true,
      ...(threshold && { threshold }),
      ...(wanted && { amount: wanted }),
      ...(most && { dayMax: most }),
      ...(mostOfMonth && { monthMax: mostOfMonth }),
    },
    session.keyed(),
  );
  session.output.message(SetAutoTopUpResponseSchema, answer, () => textOf(answer.autoTopUp));
}

async function switchOff(session: Session): Promise<void> {
  const answer = await session.client(AutoTopUpService).setAutoTopUp({ enabled: false }, session.keyed());
  session.output.message(SetAutoTopUpResponseSchema, answer, () => textOf(answer.autoTopUp));
}

function textOf(one: AutoTopUp | undefined): string {
  return facts([
    ["automatic top-up", one?.enabled ? "on" : "off"],
    ["below", money(one?.threshold)],
    ["amount", money(one?.amount)],
    ["a day at most", money(one?.dayMax)],
    ["a month at most", money(one?.monthMax)],
    ["reason", one?.reason ?? ""],
    ["why", one?.message ?? ""],
  ]);
}
