/** What administrators add to a balance or take from it: corrections, and grants of credit. */

/** A GRANT is credit that was promised or given away; a CORRECTION puts right what was wrong. Both bring credit, not card money. */
export type AdjustmentKind = "CORRECTION" | "GRANT";
export type AdjustmentState = "PROPOSED" | "POSTED" | "REJECTED" | "EXPIRED";

export interface Adjustment {
  readonly adjustmentId: string;
  readonly userId: string;
  readonly kind: AdjustmentKind;
  readonly currency: string;
  /** CREDIT adds to the balance, DEBIT takes from it. */
  readonly direction: "CREDIT" | "DEBIT";
  readonly amountNanos: bigint;
  /** From when on what is left of a grant can't be spent; null: it does not expire. */
  readonly creditExpiresAt: Date | null;
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
