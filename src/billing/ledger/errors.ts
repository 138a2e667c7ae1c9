import { formatMoney } from "../../base/money.ts";
import { StatusError } from "../../base/status.ts";

/** Not enough is free. Metadata `needed` and `available` are decimal units of `currency`. */
export function balanceTooLow(input: {
  readonly neededNanos: bigint;
  readonly availableNanos: bigint;
  readonly currency: string;
}): StatusError {
  const { currency } = input;
  const needed = { currency, nanos: input.neededNanos };
  const available = { currency, nanos: input.availableNanos };
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "BALANCE_TOO_LOW",
    message: `This needs ${formatMoney(needed)} and ${formatMoney(available)} is available. Top up the balance, or stop something that runs.`,
    metadata: { needed: decimal(input.neededNanos), available: decimal(input.availableNanos), currency },
  });
}

/** The key of a movement came again and said something else: nothing was moved. */
export function keyReused(): StatusError {
  return new StatusError({
    code: "ALREADY_EXISTS",
    reason: "IDEMPOTENCY_KEY_REUSED",
    message: "This key was used before for another movement of money.",
  });
}

/** The hold was captured, released or expired before. */
export function holdEnded(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "HOLD_ENDED",
    message: "The hold has ended, so nothing can be taken from it any more.",
  });
}

/** Broken books are ours to mend: never the caller's fault, and loud in the log. */
export function ledgerBroken(what: string): StatusError {
  return StatusError.from(new Error(`ledger: ${what}`));
}

/** Nanos as decimal units, exact: "1.50". */
function decimal(nanos: bigint): string {
  return formatMoney({ currency: "", nanos }).trimEnd();
}
