import type { Code } from "../base/status.ts";

/** How the program ends, for scripts; docs/guides/cli.md tells the same list. */
export const EXIT = {
  OK: 0,
  FAILED: 1,
  USAGE: 2,
  NOT_AUTHENTICATED: 3,
  NOT_ALLOWED: 4,
  NOT_FOUND: 5,
  /** The money, a card, a name or the model's state does not allow it. */
  PRECONDITION: 6,
  /** Can't be reached, or asks to come back later. */
  UNAVAILABLE: 7,
  TIMEOUT: 8,
  INTERRUPTED: 130,
} as const;

const BY_CODE: Readonly<Record<Code, number>> = {
  OK: EXIT.OK,
  CANCELLED: EXIT.INTERRUPTED,
  UNKNOWN: EXIT.FAILED,
  INVALID_ARGUMENT: EXIT.USAGE,
  DEADLINE_EXCEEDED: EXIT.TIMEOUT,
  NOT_FOUND: EXIT.NOT_FOUND,
  ALREADY_EXISTS: EXIT.PRECONDITION,
  PERMISSION_DENIED: EXIT.NOT_ALLOWED,
  RESOURCE_EXHAUSTED: EXIT.UNAVAILABLE,
  FAILED_PRECONDITION: EXIT.PRECONDITION,
  ABORTED: EXIT.UNAVAILABLE,
  OUT_OF_RANGE: EXIT.USAGE,
  UNIMPLEMENTED: EXIT.FAILED,
  INTERNAL: EXIT.FAILED,
  UNAVAILABLE: EXIT.UNAVAILABLE,
  DATA_LOSS: EXIT.FAILED,
  UNAUTHENTICATED: EXIT.NOT_AUTHENTICATED,
};

/** The exit status of a failure with this code. */
export function exitStatusOf(code: Code): number {
  return BY_CODE[code];
}
