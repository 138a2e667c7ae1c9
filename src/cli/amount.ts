import { create } from "@bufbuild/protobuf";
import { InvalidArgumentError } from "commander";
import { type Money, MoneySchema } from "../../gen/google/type/money_pb.js";
import { UserBalanceService } from "../../gen/tensormesh/billing/v1/user_balance_service_pb.js";
import { NANOS_PER_UNIT } from "../base/money.ts";
import type { Session } from "./session.ts";

/** An amount as the user wrote it; the currency is asked of the control plane where it was left out. */
export interface Amount {
  readonly nanos: bigint;
  readonly currency: string | undefined;
}

/** "25", "0.10", "25 USD": at most nine decimals, exact. */
export function parseAmount(text: string): Amount {
  const [, units, fraction = "", currency] =
    /^(\d{1,9})(?:\.(\d{1,9}))?(?:\s*([A-Za-z]{3}))?$/.exec(text.trim()) ?? [];
  if (units === undefined) throw new InvalidArgumentError("Give an amount such as 25, 0.10 or 25USD.");
  const nanos = BigInt(units) * NANOS_PER_UNIT + BigInt(fraction.padEnd(9, "0"));
  return { nanos, currency: currency?.toUpperCase() };
}

/** The amounts on the wire. What was written without a currency is in the installation's. */
export async function moneyOf(session: Session, amounts: readonly Amount[]): Promise<readonly Money[]> {
  const currency = amounts.some((amount) => amount.currency === undefined) ? await ownCurrency(session) : "";
  return amounts.map((amount) =>
    create(MoneySchema, {
      currencyCode: amount.currency ?? currency,
      units: amount.nanos / NANOS_PER_UNIT,
      nanos: Number(amount.nanos % NANOS_PER_UNIT),
    }),
  );
}

async function ownCurrency(session: Session): Promise<string> {
  const { balance } = await session.client(UserBalanceService).getUserBalance({});
  return balance?.currencyCode ?? "";
}
