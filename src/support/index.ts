export { appendMessage } from "./append-message.ts";
export { closeTicket } from "./close-ticket.ts";
export { createTicket, type NewTicket } from "./create-ticket.ts";
export { getTicket, type TicketInput } from "./get-ticket.ts";
export { type ListTicketsInput, listTickets } from "./list-tickets.ts";
export type { Message, Ticket, TicketStatus, TicketType, TicketView } from "./model.ts";
export type { SupportDeps, TicketChange } from "./ports.ts";
export { type SupportRoutesDeps, supportRoutes } from "./rpc.ts";
