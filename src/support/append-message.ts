import { type DbCtx, withTransaction } from "../db/db.ts";
import { ownedTicket, type TicketInput, viewOf } from "./get-ticket.ts";
import { MESSAGES_MAX, statusAfterMessage, type TicketView, ticketFull } from "./model.ts";
import { newMessage } from "./new-message.ts";
import type { SupportDeps } from "./ports.ts";
import { insertMessage, updateTicket } from "./store.ts";
import { tellChange } from "./tell-change.ts";

/** Adds the caller's message to a ticket. Throws TICKET_NOT_FOUND, TICKET_FULL. */
export function appendMessage(
  ctx: DbCtx,
  deps: SupportDeps,
  input: TicketInput & { readonly content: string },
): Promise<TicketView> {
  return withTransaction(ctx, async (tx) => {
    const ticket = await ownedTicket(tx, input);
    if (ticket.messageCount >= MESSAGES_MAX) throw ticketFull();
    const number = ticket.messageCount + 1;
    const message = await newMessage(tx, input.principal, { number, content: input.content });
    await insertMessage(tx, ticket.id, message);
    const status = statusAfterMessage(ticket, message.userId);
    const change = { status, messageCount: number, updatedAt: message.createdAt };
    const updated = await updateTicket(tx, ticket.id, change);
    await tellChange(tx, deps, ticket.status, updated);
    return viewOf(tx, updated);
  });
}
