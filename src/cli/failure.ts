/** Anything thrown, as the one thing that is told to the user. */
import { type Code, StatusError } from "../base/status.ts";
import { SlipwayError, UnreachableError } from "../client/index.ts";

export interface Failure {
  readonly code: Code;
  /** Reason as the server or the command line named it; "" where there is none (another server answered). */
  readonly reason: string;
  readonly message: string;
  readonly violations: readonly { readonly field: string; readonly description: string }[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  /** Joins this failure to the operator's logs; "" where none came. */
  readonly requestId: string;
}

/** An answer of the gateway that was no success. */
export class GatewayError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.name = "GatewayError";
    this.failure = failure;
  }
}

/** The other side could not be reached, or the connection broke. */
export function isNetworkError(thrown: unknown): boolean {
  return thrown instanceof UnreachableError;
}

export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof GatewayError) return thrown.failure;
  if (thrown instanceof StatusError) return { ...toldBy(thrown), requestId: "" };
  const error = SlipwayError.from(thrown);
  return { ...toldBy(error), requestId: error.requestId };
}

function toldBy(error: StatusError | SlipwayError): Omit<Failure, "requestId"> {
  const { code, reason, message, violations, metadata, retryAfterMs } = error;
  return { code, reason, message, violations, metadata, retryAfterMs };
}
