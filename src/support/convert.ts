/** Where the wire's words for tickets meet ours. */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  ConversationMessageSchema,
  TicketSchema,
  TicketStatus as WireStatus,
  type Ticket as WireTicket,
  TicketType as WireType,
} from "../../gen/tensormesh/support/v1/support_service_pb.js";
import { UserRole } from "../../gen/tensormesh/user/v1/user_pb.js";
import type { Role } from "../identity/index.ts";
import {
  type Message,
  TICKET_STATUSES,
  TICKET_TYPES,
  type Ticket,
  type TicketStatus,
  type TicketType,
} from "./model.ts";

const STATUS: Readonly<Record<TicketStatus, WireStatus>> = {
  OPEN: WireStatus.OPEN,
  IN_PROGRESS: WireStatus.IN_PROGRESS,
  CLOSED: WireStatus.CLOSED,
};

const TYPE: Readonly<Record<TicketType, WireType>> = {
  TECHNICAL: WireType.TECHNICAL,
  BILLING: WireType.BILLING,
  ACCOUNT: WireType.ACCOUNT,
  OTHER: WireType.OTHER,
};

const ROLE: Readonly<Record<Role, UserRole>> = {
  USER: UserRole.USER,
  ADMIN: UserRole.ADMIN,
  SUPER_ADMIN: UserRole.SUPER_ADMIN,
};

/** The state that a filter names; undefined for any. The edge has refused undefined values. */
export function statusFromWire(status: WireStatus): TicketStatus | undefined {
  return TICKET_STATUSES.find((known) => STATUS[known] === status);
}

/** OTHER where a request names none. */
export function typeFromWire(type: WireType): TicketType {
  return TICKET_TYPES.find((known) => TYPE[known] === type) ?? "OTHER";
}

/** Without messages where they are not asked for, as in lists. */
export function ticketToWire(ticket: Ticket, messages: readonly Message[] = []): WireTicket {
  return create(TicketSchema, {
    ticketId: ticket.id,
    subject: ticket.subject,
    requesterUserId: ticket.userId,
    status: STATUS[ticket.status],
    type: TYPE[ticket.type],
    conversations: messages.map(messageToWire),
    createdAt: timestampFromDate(ticket.createdAt),
    updatedAt: timestampFromDate(ticket.updatedAt),
    messageCount: ticket.messageCount,
  });
}

function messageToWire(message: Message) {
  const { userId, userName, content } = message;
  const createdAt = timestampFromDate(message.createdAt);
  return create(ConversationMessageSchema, {
    userId,
    userName,
    userRole: ROLE[message.userRole],
    content,
    createdAt,
  });
}
