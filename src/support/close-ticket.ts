import { type DbCtx, withTransaction } from "../db/db.ts";
import { ownedTicket, type TicketInput, viewOf } from "./get-ticket.ts";
import type { TicketView } from "./model.ts";
import type { SupportDeps } from "./ports.ts";
import { updateTicket } from "./store.ts";
import { tellChange } from "./tell-change.ts";

/** Closes a ticket, for its requester and for administrators. A repeat changes nothing. Throws TICKET_NOT_FOUND. */
export function closeTicket(ctx: DbCtx, deps: SupportDeps, input: TicketInput): Promise<TicketView> {
  return withTransaction(ctx, async (tx) => {
    const ticket = await ownedTicket(tx, input);
    if (ticket.status === "CLOSED") return viewOf(tx, ticket);
    const { messageCount } = ticket;
    const change = { status: "CLOSED", messageCount, updatedAt: tx.clock.now() } as const;
    const closed = await updateTicket(tx, ticket.id, change);
    await tellChange(tx, deps, ticket.status, closed);
    return viewOf(tx, closed);
  });
}
