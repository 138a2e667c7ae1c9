import type { TxCtx } from "../db/db.ts";
import type { TicketStatus } from "./model.ts";

export interface TicketChange {
  readonly ticketId: string;
  /** Whose ticket it is. */
  readonly userId: string;
  /** Null for one that was just opened. */
  readonly from: TicketStatus | null;
  readonly to: TicketStatus;
  readonly messageCount: number;
}

/** What this domain is given. */
export interface SupportDeps {
  /** Tells the requester; called last in the transaction of the change. */
  changed(tx: TxCtx, change: TicketChange): Promise<void>;
}
