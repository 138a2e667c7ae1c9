/**
 * One vocabulary for failure: google.rpc codes, one error class, one list of machine-readable reasons.
 * Domains throw StatusError and nothing else; the edges (rpc, gateway, cli) turn it into their wire.
 */

/** The google.rpc.Code values, by name. */
export const CODES = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type Code = keyof typeof CODES;

/** HTTP status of each code, as grpc-gateway answers. */
export const HTTP_STATUS: Readonly<Record<Code, number>> = {
  OK: 200,
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
};

/** Every reason that ErrorInfo may carry. A reason is added here first; docs/guides/errors.md tells each one's way out. */
export const REASONS = [
  // the request itself
  "INVALID_FIELD",
  "UUID_MALFORMED",
  "ENUM_UNKNOWN",
  "NOT_IMPLEMENTED",
  "MALFORMED_JSON",
  "BODY_TOO_LARGE",
  "HEADERS_TOO_LARGE",
  "UNSUPPORTED_CONTENT_TYPE",
  "WRONG_METHOD",
  "UNKNOWN_PATH",
  "RATE_LIMITED",
  "URL_REFUSED",
  "DEADLINE",
  "CANCELLED",
  "CONTEXT_TOO_LONG",
  "IDEMPOTENCY_KEY_REUSED",
  "IDEMPOTENCY_IN_PROGRESS",
  // who is asking
  "TOKEN_MISSING",
  "TOKEN_INVALID",
  "TOKEN_EXPIRED",
  "SCOPE_MISSING",
  "USER_DISABLED",
  "NOT_ALLOWED",
  "LAST_SUPER_ADMIN",
  "TOS_NOT_ACCEPTED",
  "LOGIN_FAILED",
  "LOGIN_UNAVAILABLE",
  "INVITATION_INVALID",
  // models and places
  "MODEL_NOT_FOUND",
  "MODEL_NAME_TAKEN",
  "MODEL_NAME_INVALID",
  "MODEL_STATE",
  "MODEL_NOT_READY",
  "SPEC_KEY_UNKNOWN",
  "SPEC_VALUE_INVALID",
  "PLACE_UNKNOWN",
  "PLACE_UNAVAILABLE",
  "REGION_CONFLICT",
  "GPU_COUNT_INVALID",
  "GPU_TYPE_UNAVAILABLE",
  "NODE_NOT_FOUND",
  "CAPACITY_SHORT",
  "WEIGHTS_NOT_FOUND",
  "WEIGHTS_GATED",
  "WEIGHTS_UNSUPPORTED",
  "WEIGHTS_PATH_REFUSED",
  "WEIGHTS_CHECKSUM",
  "HUB_UNREACHABLE",
  "HUB_TOKEN_INVALID",
  "DISK_FULL",
  "MODEL_TOO_LARGE",
  "LOGS_UNAVAILABLE",
  // money
  "BALANCE_TOO_LOW",
  "RUNWAY_SHORT",
  "CARD_MISSING",
  "CARD_EXPIRED",
  "CARD_DECLINED",
  "CARD_NEEDS_ACTION",
  "PAYMENT_METHOD_UNKNOWN",
  "AMOUNT_INVALID",
  "CURRENCY_MISMATCH",
  "PRICE_MISSING",
  "PRICE_CONFLICT",
  "HOLD_ENDED",
  "TEST_MONEY_REFUSED",
  "ACCOUNT_RESTRICTED",
  "PAYMENT_NOT_FOUND",
  "REFUND_REFUSED",
  "ADJUSTMENT_NOT_FOUND",
  "ADJUSTMENT_ENDED",
  "SECOND_ADMIN_NEEDED",
  "EXPIRY_INVALID",
  "TOO_MANY_GRANTS",
  "WEBHOOK_REFUSED",
  "BUDGET_EXCEEDED",
  "BUDGET_NOT_FOUND",
  "TOO_MANY_BUDGETS",
  // users, keys, catalogue, receipts
  "USER_NOT_FOUND",
  "USER_EXISTS",
  "KEY_NOT_FOUND",
  "TOO_MANY_KEYS",
  "KEY_ENDED",
  "TICKET_NOT_FOUND",
  "TICKET_FULL",
  "TOO_MANY_TICKETS",
  "RECEIPT_NOT_FOUND",
  "TOO_MANY_RECEIPTS",
  "TRANSACTION_NOT_FOUND",
  "INVOICE_NOT_FOUND",
  "INVOICE_ISSUED",
  "SERVED_NAME_TAKEN",
  // external storage
  "STORAGE_NOT_FOUND",
  "STORAGE_EXISTS",
  "STORAGE_UNAVAILABLE",
  // webhooks
  "WEBHOOK_NOT_FOUND",
  "WEBHOOK_DELIVERY_NOT_FOUND",
  "WEBHOOK_DISABLED",
  "TOO_MANY_WEBHOOKS",
  "TOO_MANY_DELIVERIES",
  // us
  "ENGINE_FAILED",
  "PROVIDER_UNREACHABLE",
  "CONFIG_INVALID",
  "UNAVAILABLE",
  "INTERNAL",
] as const;

export type Reason = (typeof REASONS)[number];

/** One broken rule of one request field. */
export interface FieldViolation {
  /** Path in the request, in snake_case proto names: `infra.onprem_region`. */
  readonly field: string;
  /** What the rule is and how to satisfy it, as a public sentence. */
  readonly description: string;
  readonly reason?: Reason;
}

export interface StatusErrorInit {
  readonly code: Code;
  readonly reason: Reason;
  /** A public sentence: what is wrong and the way out. Never holds a secret or a prompt. */
  readonly message: string;
  readonly violations?: readonly FieldViolation[];
  /** Public, machine-readable facts (needed, available, allowed …). */
  readonly metadata?: Readonly<Record<string, string>>;
  /** When to try again; becomes RetryInfo and Retry-After. */
  readonly retryAfterMs?: number;
  /** What really happened: for the log, never for the caller. */
  readonly cause?: unknown;
}

/** The one error that domains throw. */
export class StatusError extends Error {
  readonly code: Code;
  readonly reason: Reason;
  readonly violations: readonly FieldViolation[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;

  constructor(init: StatusErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = "StatusError";
    this.code = init.code;
    this.reason = init.reason;
    this.violations = init.violations ?? [];
    this.metadata = init.metadata ?? {};
    this.retryAfterMs = init.retryAfterMs;
  }

  /** Any thrown thing as a StatusError; what is unknown becomes INTERNAL and its text stays in the cause. */
  static from(thrown: unknown): StatusError {
    if (thrown instanceof StatusError) return thrown;
    return new StatusError({
      code: "INTERNAL",
      reason: "INTERNAL",
      message: "Something went wrong on our side. Try again; if it stays, tell the operator the request id.",
      cause: thrown,
    });
  }
}

/** INVALID_ARGUMENT with all violations at once; the first one's reason leads. */
export function invalidArgument(violations: readonly FieldViolation[]): StatusError {
  const first = violations[0];
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : "";
  return new StatusError({
    code: "INVALID_ARGUMENT",
    reason: first?.reason ?? "INVALID_FIELD",
    message: first ? `${first.field}: ${first.description}${more}` : "The request is invalid.",
    violations,
  });
}
