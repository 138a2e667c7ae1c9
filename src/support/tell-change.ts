import type { TxCtx } from "../db/db.ts";
import type { Ticket, TicketStatus } from "./model.ts";
import type { SupportDeps } from "./ports.ts";

/** Hands on what became of a ticket. */
export function tellChange(
  tx: TxCtx,
  deps: SupportDeps,
  from: TicketStatus | null,
  ticket: Ticket,
): Promise<void> {
  const { id: ticketId, userId, status: to, messageCount } = ticket;
  return deps.changed(tx, { ticketId, userId, from, to, messageCount });
}
