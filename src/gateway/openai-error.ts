/** The gateway's errors in OpenAI's envelope: one table from our reasons to a status, a type and a code. */
import { type Reason, StatusError } from "../base/status.ts";

export interface OpenAiFailure {
  readonly status: number;
  readonly type: string;
  readonly code: string;
}

const INVALID = "invalid_request_error";

const TABLE: Partial<Record<Reason, OpenAiFailure>> = {
  TOKEN_MISSING: { status: 401, type: "authentication_error", code: "missing_api_key" },
  TOKEN_INVALID: { status: 401, type: "authentication_error", code: "invalid_api_key" },
  TOKEN_EXPIRED: { status: 401, type: "authentication_error", code: "expired_api_key" },
  USER_DISABLED: { status: 403, type: "permission_error", code: "user_disabled" },
  SCOPE_MISSING: { status: 403, type: "permission_error", code: "scope_missing" },
  NOT_ALLOWED: { status: 403, type: "permission_error", code: "not_allowed" },
  BALANCE_TOO_LOW: { status: 402, type: "insufficient_quota", code: "insufficient_balance" },
  BUDGET_EXCEEDED: { status: 402, type: "insufficient_quota", code: "budget_exceeded" },
  MODEL_NOT_FOUND: { status: 404, type: INVALID, code: "model_not_found" },
  UNKNOWN_PATH: { status: 404, type: INVALID, code: "unknown_path" },
  WRONG_METHOD: { status: 405, type: INVALID, code: "method_not_allowed" },
  MODEL_STATE: { status: 409, type: INVALID, code: "model_not_serving" },
  HEADERS_TOO_LARGE: { status: 431, type: INVALID, code: "headers_too_large" },
  BODY_TOO_LARGE: { status: 413, type: INVALID, code: "body_too_large" },
  UNSUPPORTED_CONTENT_TYPE: { status: 415, type: INVALID, code: "unsupported_content_type" },
  MALFORMED_JSON: { status: 400, type: INVALID, code: "malformed_json" },
  INVALID_FIELD: { status: 400, type: INVALID, code: "invalid_field" },
  RATE_LIMITED: { status: 429, type: "rate_limit_error", code: "rate_limited" },
  MODEL_NOT_READY: { status: 503, type: "server_error", code: "model_not_ready" },
  UNAVAILABLE: { status: 503, type: "server_error", code: "unavailable" },
  CANCELLED: { status: 499, type: "server_error", code: "cancelled" },
  ENGINE_FAILED: { status: 502, type: "server_error", code: "engine_failed" },
  DEADLINE: { status: 504, type: "server_error", code: "deadline" },
};

const UNKNOWN: OpenAiFailure = { status: 500, type: "server_error", code: "internal" };

export function failureOf(error: StatusError): OpenAiFailure {
  return TABLE[error.reason] ?? UNKNOWN;
}

/** The envelope as JSON. `param` is the first broken field, where there is one; numbers of a 402 ride along as `metadata`. */
export function envelope(error: StatusError): string {
  const failure = failureOf(error);
  const metadata = Object.keys(error.metadata).length > 0 ? { metadata: error.metadata } : {};
  const param = error.violations[0]?.field ?? null;
  return JSON.stringify({
    error: { message: error.message, type: failure.type, param, code: failure.code, ...metadata },
  });
}

/** Shorthand for the gateway's own refusals. */
export function refused(
  reason: Reason,
  message: string,
  more: {
    readonly retryAfterMs?: number;
    readonly metadata?: Readonly<Record<string, string>>;
    readonly param?: string;
    readonly cause?: unknown;
  } = {},
): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason,
    message,
    ...(more.retryAfterMs === undefined ? {} : { retryAfterMs: more.retryAfterMs }),
    ...(more.cause === undefined ? {} : { cause: more.cause }),
    ...(more.metadata === undefined ? {} : { metadata: more.metadata }),
    ...(more.param === undefined ? {} : { violations: [{ field: more.param, description: message }] }),
  });
}
