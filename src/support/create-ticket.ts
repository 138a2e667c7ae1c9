import { type DbCtx, withTransaction } from "../db/db.ts";
import { getUser, type Principal } from "../identity/index.ts";
import { OPEN_TICKETS_MAX, type Ticket, type TicketType, type TicketView, tooManyTickets } from "./model.ts";
import { newMessage } from "./new-message.ts";
import type { SupportDeps } from "./ports.ts";
import { countOpenTickets, insertMessage, insertTicket } from "./store.ts";
import { tellChange } from "./tell-change.ts";

export interface NewTicket {
  /** Whose it will be. */
  readonly userId: string;
  /** Who writes the first message. */
  readonly principal: Principal;
  readonly subject: string;
  readonly type: TicketType;
  readonly content: string;
}

/**
 * Opens a ticket with its first message. Throws USER_NOT_FOUND, TOO_MANY_TICKETS. Several calls at once may pass that bound
 * by their number: it keeps out heaps, not single tickets.
 */
export function createTicket(ctx: DbCtx, deps: SupportDeps, input: NewTicket): Promise<TicketView> {
  return withTransaction(ctx, async (tx) => {
    const requester = await getUser(tx, input.userId);
    if ((await countOpenTickets(tx, requester.id)) >= OPEN_TICKETS_MAX) throw tooManyTickets();
    const message = await newMessage(tx, input.principal, { number: 1, content: input.content });
    const ticket: Ticket = {
      id: tx.random.uuid(),
      userId: requester.id,
      subject: input.subject.trim(),
      type: input.type,
      status: "OPEN",
      messageCount: 1,
      createdAt: message.createdAt,
      updatedAt: message.createdAt,
    };
    await insertTicket(tx, ticket);
    await insertMessage(tx, ticket.id, message);
    await tellChange(tx, deps, null, ticket);
    return { ticket, messages: [message] };
  });
}
