/** Too little money: of the user's balance, or of a budget of theirs. What the ledger said of it, and what the caller is told. */
import { NANOS_PER_UNIT } from "../base/money.ts";
import { StatusError } from "../base/status.ts";
import { refused } from "./openai-error.ts";

/** The ledger has not so much: BALANCE_TOO_LOW or BUDGET_EXCEEDED, with `available` in its metadata. */
export function isShort(error: unknown): error is StatusError {
  return error instanceof StatusError && (error.reason === "BALANCE_TOO_LOW" || isOfBudget(error));
}

export function isOfBudget(error: StatusError): boolean {
  return error.reason === "BUDGET_EXCEEDED";
}

/** What the ledger said is free, as nanos; it tells it as a decimal of the currency's unit. */
export function availableNanos(error: StatusError): bigint {
  const told = /^(\d+)(?:\.(\d{1,9}))?$/.exec(error.metadata.available ?? "");
  if (!told) return 0n;
  return BigInt(told[1] ?? "0") * NANOS_PER_UNIT + BigInt((told[2] ?? "").padEnd(9, "0"));
}

/** The refusal of a request: which money is short, of how much, and the way out. */
export function shortRefusal(error: StatusError): StatusError {
  const { metadata, retryAfterMs } = error;
  if (isOfBudget(error)) {
    return refused("BUDGET_EXCEEDED", budgetSentence(metadata), {
      metadata,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }
  return refused(
    "BALANCE_TOO_LOW",
    "Your balance is too low for this request. Top up, or ask for fewer tokens.",
    { metadata },
  );
}

const BOUNDED: Readonly<Record<string, string>> = {
  key: "this key",
  model: "this model",
  catalog: "this name of the catalogue",
};

function budgetSentence({ budget = "", period = "", resets_at: resetsAt }: StatusError["metadata"]): string {
  const turn = resetsAt === undefined ? "" : `, wait until it begins anew at ${resetsAt}`;
  return `The ${period} budget of ${BOUNDED[budget] ?? budget} has too little left for this request. Raise it${turn}, or ask for fewer tokens.`;
}
