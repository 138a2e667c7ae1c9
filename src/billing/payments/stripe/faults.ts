/** What Stripe's errors mean: refused for good, or not known. */
import { StatusError } from "../../../base/status.ts";
import type { PaymentFailure } from "../processor.ts";
import { declineOf } from "./declines.ts";

/** The part of Stripe's errors that we read. */
export interface StripeFault {
  readonly type: string;
  readonly code?: string;
  readonly decline_code?: string;
  readonly param?: string;
  readonly statusCode?: number;
  readonly requestId?: string;
  readonly payment_intent?: unknown;
}

const NOT_FOUND = 404;
const CONFLICT = 409;

export function isStripeFault(error: unknown): error is Error & StripeFault {
  return (
    error instanceof Error &&
    "type" in error &&
    typeof error.type === "string" &&
    error.type.startsWith("Stripe")
  );
}

/** True where Stripe says that it knows no such thing. */
export function isMissing(error: unknown, param?: string): boolean {
  if (!isStripeFault(error) || (error.code !== "resource_missing" && error.statusCode !== NOT_FOUND))
    return false;
  return param === undefined || error.param === param;
}

/** True for a request that Stripe read and refused: it has changed nothing and never will. */
export function isRefusedRequest(error: unknown): error is Error & StripeFault {
  return isStripeFault(error) && error.type === "StripeInvalidRequestError" && error.statusCode !== CONFLICT;
}

/** What Stripe refused for good, as a failed payment; undefined where the outcome is not known. */
export function refusalOf(error: unknown): PaymentFailure | undefined {
  if (!isStripeFault(error)) return undefined;
  if (error.type === "StripeCardError") return declineOf(error.code, error.decline_code);
  if (error.type === "StripeAuthenticationError" || error.type === "StripePermissionError") {
    return {
      state: "failed",
      reason: "UNAVAILABLE",
      why: "Payments don't work at the moment. Nothing was taken. Tell the operator.",
    };
  }
  return isRefusedRequest(error) ? requestRefusal(error) : undefined;
}

function requestRefusal(error: StripeFault): PaymentFailure {
  const { code = "", param } = error;
  if (code === "amount_too_small" || code === "amount_too_large") {
    const which = code === "amount_too_small" ? "small" : "large";
    return {
      state: "failed",
      reason: "AMOUNT_INVALID",
      why: `This amount is too ${which} for a card. Choose another one.`,
    };
  }
  if (param === "payment_method" || code.startsWith("payment_method")) {
    return {
      state: "failed",
      reason: "PAYMENT_METHOD_UNKNOWN",
      why: "This card can't be used any more. Remove it and add it again.",
    };
  }
  return {
    state: "failed",
    reason: "UNAVAILABLE",
    why: "The payment could not be made. Nothing was taken. Tell the operator.",
  };
}

/** For the caller: try again. Stripe's error may hold client secrets, so only its names go to the log, as the cause. */
export function unclear(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "UNAVAILABLE",
    message: "The payment processor did not answer. Try again: what was begun is finished, and done once.",
    retryAfterMs: RETRY_AFTER_MS,
    cause: causeOf(error),
  });
}

/** A payment is driven on by itself after a minute; asking again sooner is safe as well. */
const RETRY_AFTER_MS = 5_000;

function causeOf(error: unknown): Error {
  if (!isStripeFault(error)) return error instanceof Error ? error : new Error(String(error));
  const { type, code, decline_code, param, statusCode, requestId } = error;
  const names = { type, code, decline_code, param, statusCode, requestId };
  return new Error(`stripe: ${JSON.stringify(names)}`);
}

/** Runs a call; Stripe's own errors never leave this folder. */
export async function asked<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw unclear(error);
  }
}

/** As `asked`; undefined where Stripe knows no such thing. */
export async function found<T>(call: () => Promise<T>): Promise<T | undefined> {
  return asked(() =>
    call().catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    }),
  );
}
