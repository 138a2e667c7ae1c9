/** Tickets: what users ask whoever operates the installation, and what they are told. */
import { StatusError } from "../base/status.ts";
import type { Role } from "../identity/index.ts";

/** How far a ticket is. Our own list: the wire's names are public, their values are not. `convert.ts` is where they meet. */
export const TICKET_STATUSES = ["OPEN", "IN_PROGRESS", "CLOSED"] as const;
export type TicketStatus = (typeof TICKET_STATUSES)[number];

/** What a ticket is about. Our own list, too. */
export const TICKET_TYPES = ["TECHNICAL", "BILLING", "ACCOUNT", "OTHER"] as const;
export type TicketType = (typeof TICKET_TYPES)[number];

/** A conversation is answered whole: 200 messages of 8,000 characters are what one answer and one reader can bear. */
export const MESSAGES_MAX = 200;
/** Tickets of one user that are not closed. Who needs more has one problem or a broken program. */
export const OPEN_TICKETS_MAX = 50;

export interface Ticket {
  /** UUID. */
  readonly id: string;
  /** Whose it is. */
  readonly userId: string;
  readonly subject: string;
  readonly type: TicketType;
  readonly status: TicketStatus;
  readonly messageCount: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface Message {
  /** From 1, in the order of writing. */
  readonly number: number;
  readonly userId: string;
  /** Name and role of the writer when it was written. */
  readonly userName: string;
  readonly userRole: Role;
  readonly content: string;
  readonly createdAt: Date;
}

/** A ticket with its whole conversation, oldest first. */
export interface TicketView {
  readonly ticket: Ticket;
  readonly messages: readonly Message[];
}

/** Where a message takes a ticket: its requester's opens a closed one again, anybody else's is an answer. */
export function statusAfterMessage(ticket: Ticket, writerId: string): TicketStatus {
  if (writerId !== ticket.userId) return "IN_PROGRESS";
  return ticket.status === "CLOSED" ? "OPEN" : ticket.status;
}

export function ticketNotFound(ticketId: string): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "TICKET_NOT_FOUND",
    message: `There is no ticket ${ticketId}. List the tickets with GET /v1/support/tickets.`,
  });
}

export function ticketFull(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "TICKET_FULL",
    message: `A ticket holds at most ${MESSAGES_MAX} messages. Open another one that names it.`,
  });
}

export function tooManyTickets(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "TOO_MANY_TICKETS",
    message: `A user has at most ${OPEN_TICKETS_MAX} tickets that are not closed. Close one, or write to one that is open.`,
  });
}
