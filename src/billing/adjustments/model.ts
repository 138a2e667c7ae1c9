/** Corrections of a balance by administrators. */

export type AdjustmentState = "PROPOSED" | "POSTED" | "REJECTED" | "EXPIRED";

export interface Adjustment {
  readonly adjustmentId: string;
  readonly userId: string;
  readonly currency: string;
  /** CREDIT adds to the balance, DEBIT takes from it. */
  readonly direction: "CREDIT" | "DEBIT";
  readonly amountNanos: bigint;
  /** For the books; the user reads it in the statement. */
  readonly reason: string;
  readonly testMoney: boolean;
  /** Posted by the one who proposed it, within the bound. */
  readonly alone: boolean;
  readonly state: AdjustmentState;
  readonly proposedBy: string;
  readonly proposedAt: Date;
  readonly expiresAt: Date;
  /** Null while it is open, and where it expired. */
  readonly decidedBy: string | null;
  readonly decidedAt: Date | null;
  readonly decisionNote: string;
  readonly transferId: bigint | null;
}

/** Who should approve looks within a week, or the case is looked at anew. */
export const OPEN_MS = 7 * 24 * 3_600_000;
/** What one administrator moves alone counts over so long: many small ones are a large one. */
export const ALONE_OVER_MS = 24 * 3_600_000;
