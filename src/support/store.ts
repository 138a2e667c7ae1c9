/** Every statement on support_ticket and support_message. */
import { type Selectable, sql } from "kysely";
import type { Db, DbCtx, TxCtx } from "../db/db.ts";
import type { Role } from "../identity/index.ts";
import type { Message, Ticket, TicketStatus, TicketType } from "./model.ts";

interface TicketTable {
  id: string;
  user_id: string;
  subject: string;
  type: TicketType;
  status: TicketStatus;
  message_count: number;
  created_at: Date;
  updated_at: Date;
}

interface MessageTable {
  ticket_id: string;
  number: number;
  user_id: string;
  user_name: string;
  user_role: Role;
  content: string;
  created_at: Date;
}

type Tables = { support_ticket: TicketTable; support_message: MessageTable };
const tables = (db: Db) => db.withTables<Tables>();

export async function insertTicket(tx: TxCtx, ticket: Ticket): Promise<void> {
  await tables(tx.db)
    .insertInto("support_ticket")
    .values({
      id: ticket.id,
      user_id: ticket.userId,
      subject: ticket.subject,
      type: ticket.type,
      status: ticket.status,
      message_count: ticket.messageCount,
      created_at: ticket.createdAt,
      updated_at: ticket.updatedAt,
    })
    .execute();
}

export async function insertMessage(tx: TxCtx, ticketId: string, message: Message): Promise<void> {
  await tables(tx.db)
    .insertInto("support_message")
    .values({
      ticket_id: ticketId,
      number: message.number,
      user_id: message.userId,
      user_name: message.userName,
      user_role: message.userRole,
      content: message.content,
      created_at: message.createdAt,
    })
    .execute();
}

export async function selectTicket(ctx: DbCtx, ticketId: string): Promise<Ticket | undefined> {
  const row = await tables(ctx.db)
    .selectFrom("support_ticket")
    .selectAll()
    .where("id", "=", ticketId)
    .executeTakeFirst();
  return row && ticketOf(row);
}

/** Locks a ticket: of two who write at once one waits, and messages are numbered without gaps. */
export async function lockTicket(tx: TxCtx, ticketId: string): Promise<Ticket | undefined> {
  const row = await tables(tx.db)
    .selectFrom("support_ticket")
    .selectAll()
    .where("id", "=", ticketId)
    .forUpdate()
    .executeTakeFirst();
  return row && ticketOf(row);
}

export async function updateTicket(
  tx: TxCtx,
  ticketId: string,
  change: { readonly status: TicketStatus; readonly messageCount: number; readonly updatedAt: Date },
): Promise<Ticket> {
  const row = await tables(tx.db)
    .updateTable("support_ticket")
    .set({ status: change.status, message_count: change.messageCount, updated_at: change.updatedAt })
    .where("id", "=", ticketId)
    .returningAll()
    .executeTakeFirstOrThrow();
  return ticketOf(row);
}

/** A ticket's messages, oldest first. */
export async function selectMessages(
  ctx: DbCtx,
  ticketId: string,
  limit: number,
): Promise<readonly Message[]> {
  const rows = await tables(ctx.db)
    .selectFrom("support_message")
    .selectAll()
    .where("ticket_id", "=", ticketId)
    .orderBy("number")
    .limit(limit)
    .execute();
  return rows.map(messageOf);
}

export interface TicketList {
  /** Undefined for every user's. */
  readonly userId: string | undefined;
  /** Undefined for any. */
  readonly status: TicketStatus | undefined;
  /** Time and id of the last ticket of the page before. */
  readonly after: { readonly at: Date; readonly id: string } | undefined;
  readonly limit: number;
}

/** Tickets, newest first. */
export async function selectTickets(ctx: DbCtx, list: TicketList): Promise<readonly Ticket[]> {
  let query = tables(ctx.db).selectFrom("support_ticket").selectAll();
  if (list.userId !== undefined) query = query.where("user_id", "=", list.userId);
  if (list.status !== undefined) query = query.where("status", "=", list.status);
  if (list.after !== undefined) {
    query = query.where(sql<boolean>`(created_at, id) < (${list.after.at}, ${list.after.id}::uuid)`);
  }
  const rows = await query.orderBy("created_at", "desc").orderBy("id", "desc").limit(list.limit).execute();
  return rows.map(ticketOf);
}

/** How many tickets of a user are not closed. */
export async function countOpenTickets(ctx: DbCtx, userId: string): Promise<number> {
  const row = await tables(ctx.db)
    .selectFrom("support_ticket")
    .select((eb) => eb.fn.countAll<bigint>().as("count"))
    .where("user_id", "=", userId)
    .where("status", "<>", "CLOSED")
    .executeTakeFirstOrThrow();
  return Number(row.count);
}

function ticketOf(row: Selectable<TicketTable>): Ticket {
  return {
    id: row.id,
    userId: row.user_id,
    subject: row.subject,
    type: row.type,
    status: row.status,
    messageCount: row.message_count,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function messageOf(row: Selectable<MessageTable>): Message {
  return {
    number: row.number,
    userId: row.user_id,
    userName: row.user_name,
    userRole: row.user_role,
    content: row.content,
    createdAt: row.created_at,
  };
}
