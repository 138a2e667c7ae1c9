/** What credit may be: pure. */
import type { FieldViolation } from "../../base/status.ts";

/** A promise for longer than this is a slip of the pen, or credit that does not expire. */
const EXPIRY_MAX_MS = 5 * 365 * 24 * 3_600_000;
/** Grants with an end and something left, of one user: each is looked at when money is held. */
export const ENDING_MAX = 50;

/** One pot: a grant that expires, or all that does not. */
export interface Credit {
  /** "" = all that does not expire. */
  readonly grantId: string;
  readonly reason: string;
  /** Null for what does not expire: it is one pot of many grants. */
  readonly grantedNanos: bigint | null;
  /** What holds have taken of it included. */
  readonly leftNanos: bigint;
  readonly heldNanos: bigint;
  readonly expiresAt: Date | null;
}

/** What is wrong with the end of a grant that is made now; null: it does not expire. */
export function expiryViolations(
  expiresAt: Date | null,
  now: Date,
  field: string,
): readonly FieldViolation[] {
  if (expiresAt === null) return [];
  const inMs = expiresAt.getTime() - now.getTime();
  if (inMs > 0 && inMs <= EXPIRY_MAX_MS) return [];
  const description =
    inMs > 0
      ? "must be within five years; leave it out for credit that does not expire"
      : "must lie ahead; leave it out for credit that does not expire";
  return [{ field, description, reason: "EXPIRY_INVALID" }];
}
