import type { Failure } from "./failure.ts";

/** What to do next, by the reason of a failure; the server's own sentence tells the rest. */
const BY_REASON: Readonly<Record<string, string>> = {
  TOKEN_MISSING: "Log in with `slipway login`, or set SLIPWAY_TOKEN.",
  TOKEN_INVALID: "Log in again with `slipway login`. `slipway whoami` tests a token.",
  TOKEN_EXPIRED: "Log in again with `slipway login`. A machine token: ask an administrator for a new one.",
  LOGIN_FAILED: "Begin again with `slipway login`.",
  LOGIN_UNAVAILABLE: "Use a machine token (`slipway admin users token` makes one): `slipway login --token`.",
  SCOPE_MISSING: "Use a token with that scope: `slipway admin users token` makes one.",
  USER_DISABLED: "Ask an administrator.",
  NOT_ALLOWED: "`slipway whoami` shows as whom you ask; this needs another role or another owner.",
  LAST_SUPER_ADMIN: "Appoint another one first: `slipway admin users role <user> super_admin`.",
  TOS_NOT_ACCEPTED: "Read the terms that `slipway terms show` names, then `slipway terms accept`.",
  MODEL_NOT_FOUND: "`slipway models list` shows the models that you can name.",
  MODEL_NAME_TAKEN: "Choose another --name, or delete the other model: `slipway models delete <model>`.",
  MODEL_STATE: "`slipway models get <model>` shows its state and what can follow.",
  MODEL_NOT_READY: "`slipway models wait <model>` waits until it answers.",
  SPEC_KEY_UNKNOWN: "The guide lists every key of the engine: docs/guides/model-spec.md.",
  WEIGHTS_GATED: "Accept the model's terms at the hub, then give a token with --hf-token-file.",
  HUB_TOKEN_INVALID: "Give a token that the hub accepts with --hf-token-file.",
  WEIGHTS_NOT_FOUND: "Check the id; private models need --hf-token-file.",
  MODEL_TOO_LARGE: "`slipway preflight …` shows the memory line by line and the largest context that fits.",
  BALANCE_TOO_LOW: "Top up with `slipway topup <amount>`, or ask an administrator for credit.",
  BUDGET_EXCEEDED:
    "`slipway budgets list` shows what is left and when it begins anew; `slipway budgets set` raises it.",
  BUDGET_NOT_FOUND: "`slipway budgets list` shows your budgets.",
  TOO_MANY_BUDGETS: "Remove one: `slipway budgets remove <id>`; `slipway budgets list` shows them.",
  CARD_MISSING: "Add a card with `slipway cards add <payment method>`.",
  CARD_EXPIRED: "Add another card with `slipway cards add <payment method>`.",
  PAYMENT_METHOD_UNKNOWN:
    "`slipway cards list` shows the cards on file; `slipway cards add` puts another one there.",
  CARD_DECLINED: "Try another card: `slipway cards add <payment method>`.",
  PRICE_MISSING: "An administrator sets a price with `slipway admin prices gpu set`.",
  USER_NOT_FOUND: "`slipway admin users list` shows all users.",
  KEY_NOT_FOUND: "`slipway keys list` shows your keys.",
  WEBHOOK_NOT_FOUND: "`slipway webhooks list` shows your endpoints.",
  WEBHOOK_DELIVERY_NOT_FOUND: "`slipway webhooks deliveries` shows the last 30 days.",
  WEBHOOK_DISABLED: "`slipway webhooks get <id>` says why, `slipway webhooks enable <id>` enables it again.",
  TOO_MANY_WEBHOOKS: "Delete one: `slipway webhooks delete <id>`; `slipway webhooks list` shows them.",
  TOO_MANY_DELIVERIES: "Let them arrive, or cancel them: `slipway webhooks disable <id>`.",
  TICKET_NOT_FOUND: "`slipway tickets list` shows your tickets.",
  TICKET_FULL: "Open another one that names it: `slipway tickets open <subject>`.",
  TOO_MANY_TICKETS: "Close one: `slipway tickets close <id>`; `slipway tickets list` shows them.",
  KEY_ENDED: "Make another one: `slipway keys create`.",
  RECEIPT_NOT_FOUND: "A request's receipt appears within seconds; `slipway receipts list` shows the newest.",
  TOO_MANY_RECEIPTS:
    "Name one with --model, or compute from a file: `slipway receipts --limit 100000 --output json`, then `slipway bill what-if <file>`.",
  TRANSACTION_NOT_FOUND: "`slipway transactions --output json` shows the ids.",
  INVOICE_NOT_FOUND: "`slipway invoices` shows the numbers; a month under way is `slipway invoices draft`.",
  PLACE_UNKNOWN: "`slipway preflight …` lists every place and why it is possible or not.",
  PLACE_UNAVAILABLE: "`slipway preflight …` lists every place and why it is possible or not.",
  CAPACITY_SHORT: "`slipway preflight …` lists every place and why it is possible or not.",
  // the gateway's own words
  INSUFFICIENT_BALANCE: "Top up with `slipway topup <amount>`, or ask an administrator for credit.",
  INVALID_API_KEY: "Set SLIPWAY_API_KEY to a key that `slipway keys create` made.",
  EXPIRED_API_KEY: "Make another key with `slipway keys create`.",
  MODEL_NOT_SERVING: "`slipway models get <model>` shows its state and what can follow.",
  UNREACHABLE:
    "Is it running? Start it with `slipway serve`, or name another with --api-url or SLIPWAY_API_URL.",
};

/** "" where there is nothing better to say than the message. */
export function nextStep(failure: Failure): string {
  const known = BY_REASON[failure.reason];
  if (known !== undefined) return known;
  if (failure.code === "CANCELLED") return "";
  if (failure.code === "DEADLINE_EXCEEDED") return "Give it longer with --timeout, or see what it waits for.";
  if (failure.reason === "") {
    return "The answer did not come from a Slipway control plane. Check --api-url, SLIPWAY_API_URL and proxies.";
  }
  if (failure.retryAfterMs !== undefined) return `Try again in ${Math.ceil(failure.retryAfterMs / 1_000)} s.`;
  return "";
}
