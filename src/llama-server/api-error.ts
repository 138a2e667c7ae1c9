/** Failures as OpenAI's clients read them: `{"error": {message, type, param, code}}`. */
import { HTTP_STATUS, type Reason, StatusError } from "../base/status.ts";

export interface ApiError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: {
    readonly error: {
      readonly message: string;
      readonly type: string;
      readonly param: string | null;
      readonly code: string | null;
    };
  };
}

/** OpenAI's word for a reason where it has one; the others keep ours in lower case. */
const OPENAI_CODES: Partial<Record<Reason, string | null>> = {
  INVALID_FIELD: null,
  CONTEXT_TOO_LONG: "context_length_exceeded",
  TOKEN_MISSING: "invalid_api_key",
  TOKEN_INVALID: "invalid_api_key",
  RATE_LIMITED: "rate_limit_exceeded",
};

/** HTTP statuses that no gRPC code maps to. */
const HTTP_STATUS_OF: Partial<Record<Reason, number>> = {
  BODY_TOO_LARGE: 413,
  UNSUPPORTED_CONTENT_TYPE: 415,
  WRONG_METHOD: 405,
};

/** Any thrown thing as an answer. What is unknown becomes a 500 that tells nothing of its cause. */
export function toApiError(thrown: unknown): ApiError {
  const error = StatusError.from(thrown);
  const status = HTTP_STATUS_OF[error.reason] ?? HTTP_STATUS[error.code];
  const code = OPENAI_CODES[error.reason];
  const retrySeconds = Math.ceil((error.retryAfterMs ?? 0) / 1_000);
  return {
    status,
    headers: retrySeconds > 0 ? { "retry-after": String(retrySeconds) } : {},
    body: {
      error: {
        message: error.message,
        type: typeOf(status),
        param: error.violations[0]?.field ?? null,
        code: code === undefined ? error.reason.toLowerCase() : code,
      },
    },
  };
}

function typeOf(status: number): string {
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/** 400 that names the request's field in OpenAI's `param`. */
export function badParam(param: string, message: string, reason: Reason = "INVALID_FIELD"): StatusError {
  return new StatusError({
    code: "INVALID_ARGUMENT",
    reason,
    message,
    violations: [{ field: param, description: message, reason }],
  });
}
