/** `slipway admin billing reconcile`: the ledger against the payment processor, told in one screen. */
import { formatMoney } from "../base/money.ts";
import { StatusError } from "../base/status.ts";
import { type BalanceLine, type Reconciliation, reconcile } from "../billing/index.ts";
import type { Installation } from "./installation.ts";
import { paymentsOf } from "./payments-of.ts";

/** Throws CONFIG_INVALID where no processor is configured that could be asked. */
export async function reconcileNow(installation: Installation, days: number): Promise<Reconciliation> {
  const { ctx, config } = installation;
  const payments = await paymentsOf(config);
  const done = payments && (await reconcile(ctx, payments, { now: ctx.clock.now(), days }));
  if (done) return done;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message: "There is nothing to compare with: SLIPWAY_PAYMENTS is not stripe in this environment.",
  });
}

export function reconciliationText(done: Reconciliation): string {
  const { currency } = done;
  const money = (nanos: bigint) => formatMoney({ currency, nanos });
  const lines = [
    `${done.from.toISOString()} to ${done.until.toISOString()}, ${done.compared} payments, refunds and disputes`,
    `processor    ${money(done.processorNanos)}`,
    `ledger       ${money(done.ledgerNanos)}`,
    `difference   ${money(done.processorNanos - done.ledgerNanos)}`,
    `unexplained  ${money(done.unexplainedNanos)}`,
    ...done.balances.flatMap(balanceLines),
    ...done.findings.map(
      (one) => `${one.kind} ${one.what} ${one.id} ${money(one.differenceNanos)}: ${one.explanation}`,
    ),
  ];
  return `${lines.join("\n")}\n`;
}

/** What the processor has of one currency, what made it up, and what the ledger says of it. */
function balanceLines(line: BalanceLine): readonly string[] {
  const { currency, parts } = line;
  const money = (nanos: bigint) => formatMoney({ currency, nanos });
  const fees = parts.reduce((total, { feeNanos }) => total + feeNanos, 0n);
  return [
    `balance ${currency}  processor ${money(line.processorNanos)}, ledger ${money(line.ledgerNanos)}, on its way ${money(line.waitingNanos)}, unexplained ${money(line.unexplainedNanos)}`,
    ...parts.map(({ lane, grossNanos }) => `  ${lane.padEnd(8)} ${money(grossNanos)}`),
    ...(fees === 0n ? [] : [`  ${"their fee".padEnd(8)} ${money(-fees)}`]),
  ];
}

export function reconciliationJson(done: Reconciliation): string {
  const text = JSON.stringify(done, (_, value) => (typeof value === "bigint" ? value.toString() : value), 2);
  return `${text}\n`;
}
