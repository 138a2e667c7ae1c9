import type { BaseCtx } from "../base/ctx.ts";
import type { DbCtx, TxCtx } from "../db/db.ts";
import { mayReach, type Principal } from "../identity/index.ts";
import { MESSAGES_MAX, type Ticket, type TicketView, ticketNotFound } from "./model.ts";
import { lockTicket, selectMessages, selectTicket } from "./store.ts";

export interface TicketInput {
  readonly principal: Principal;
  readonly ticketId: string;
}

/** A ticket with its conversation. Throws TICKET_NOT_FOUND, also to everybody but its requester and administrators. */
export async function getTicket(ctx: DbCtx, input: TicketInput): Promise<TicketView> {
  return viewOf(ctx, reachable(ctx, await selectTicket(ctx, input.ticketId), input));
}

/** The ticket, locked, for whoever changes it. Same errors. */
export async function ownedTicket(tx: TxCtx, input: TicketInput): Promise<Ticket> {
  return reachable(tx, await lockTicket(tx, input.ticketId), input);
}

export async function viewOf(ctx: DbCtx, ticket: Ticket): Promise<TicketView> {
  return { ticket, messages: await selectMessages(ctx, ticket.id, MESSAGES_MAX) };
}

function reachable(ctx: BaseCtx, ticket: Ticket | undefined, { principal, ticketId }: TicketInput): Ticket {
  if (ticket && mayReach(ctx, principal, ticket.userId)) return ticket;
  throw ticketNotFound(ticketId);
}
