/** A ticket with its conversation, for a terminal. */
import {
  type ConversationMessage,
  type Ticket,
  TicketStatus,
  TicketType,
} from "../../gen/tensormesh/support/v1/support_service_pb.js";
import { UserRole } from "../../gen/tensormesh/user/v1/user_pb.js";
import { time } from "./human.ts";
import { plain, plainLine } from "./plain.ts";
import { facts } from "./table.ts";

export function ticketText(ticket: Ticket): string {
  const head = facts([
    ["ticket", ticket.ticketId],
    ["subject", ticket.subject],
    ["status", TicketStatus[ticket.status] ?? ""],
    ["type", TicketType[ticket.type] ?? ""],
    ["requester", ticket.requesterUserId],
  ]);
  return head + ticket.conversations.map(messageText).join("");
}

/** Indented, so that no line of a message passes for the head of another. */
function messageText(message: ConversationMessage): string {
  const role = message.userRole === UserRole.USER ? "" : ` (${UserRole[message.userRole] ?? ""})`;
  const writer = plainLine(message.userName) || message.userId;
  const lines = plain(message.content).trimEnd().split("\n");
  return `\n${time(message.createdAt)}  ${writer}${role}\n${lines.map((line) => `  ${line}\n`).join("")}`;
}
