import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  AppendTicketMessageResponseSchema,
  CloseTicketResponseSchema,
  CreateTicketResponseSchema,
  GetTicketResponseSchema,
  ListTicketsResponseSchema,
  SupportService,
  type Ticket,
  TicketStatus,
  TicketType,
} from "../../../gen/tensormesh/support/v1/support_service_pb.js";
import { invalidArgument } from "../../base/status.ts";
import { age } from "../human.ts";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { readPiped } from "../secret-input.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";
import { ticketText } from "../ticket-text.ts";
import { pick } from "../wire-words.ts";

/** Longest message that is read from a pipe: 8,000 characters of four bytes. */
const MESSAGE_BYTES_MAX = 32_000;

interface ListTicketsOptions extends CommonOptions, ListOptions {
  readonly status?: string;
  readonly user?: string;
  readonly allUsers?: boolean;
}

interface MessageOptions extends CommonOptions {
  readonly message?: string;
}

interface OpenOptions extends MessageOptions {
  readonly type?: string;
  readonly user?: string;
}

/** tickets list, get, open, reply, close. */
export function addTickets(program: Command, io: CliIo): void {
  const tickets = program.command("tickets").description("questions to whoever operates the installation");
  withCommonOptions(withListOptions(tickets.command("list").description("list tickets, newest first")))
    .option("--status <state>", "only open, in_progress or closed ones")
    .option("--user <id>", "another user's, for administrators")
    .option("--all-users", "every user's, for administrators")
    .action((options: ListTicketsOptions) =>
      run(io, options, (session) => listTickets(session, options), {
        capacity: options.allUsers ? "admin" : "user",
      }),
    );
  withCommonOptions(tickets.command("get").description("show a ticket with its conversation"))
    .argument("<id>", "id of the ticket")
    .action((id: string, options: CommonOptions) => run(io, options, (session) => getTicket(session, id)));
  withCommonOptions(tickets.command("open").description("ask something; the message may be piped in"))
    .argument("<subject>", "what it is about, in a line")
    .option("-m, --message <text>", "the question")
    .option("--type <type>", "technical, billing, account or other")
    .option("--user <id>", "for another user, for administrators")
    .action((subject: string, options: OpenOptions) =>
      run(io, options, (session) => openTicket(session, subject, options)),
    );
  withCommonOptions(tickets.command("reply").description("add a message, which may be piped in"))
    .argument("<id>", "id of the ticket")
    .option("-m, --message <text>", "the message")
    .action((id: string, options: MessageOptions) =>
      run(io, options, (session) => reply(session, id, options)),
    );
  withCommonOptions(tickets.command("close").description("close a ticket; another message opens it again"))
    .argument("<id>", "id of the ticket")
    .action((id: string, options: CommonOptions) => run(io, options, (session) => closeTicket(session, id)));
}

async function listTickets(session: Session, options: ListTicketsOptions): Promise<void> {
  const client = session.client(SupportService);
  const query = {
    userId: options.user ?? "",
    allUsers: options.allUsers === true,
    status:
      options.status === undefined
        ? TicketStatus.UNSPECIFIED
        : pick(TicketStatus, wordOf(options.status), "--status", ""),
  };
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listTickets({ ...query, ...page });
    return { items: answer.tickets, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListTicketsResponseSchema, { tickets: [...items], nextPageToken });
  session.output.message(ListTicketsResponseSchema, answer, () =>
    items.length === 0
      ? "There are no tickets. Ask something: slipway tickets open <subject> --message <text>\n"
      : tableOf(items, session.io.clock.now()) + moreLine(nextPageToken),
  );
}

async function getTicket(session: Session, ticketId: string): Promise<void> {
  const answer = await session.client(SupportService).getTicket({ ticketId });
  session.output.message(GetTicketResponseSchema, answer, () => ticketText(present(answer.ticket)));
}

async function openTicket(session: Session, subject: string, options: OpenOptions): Promise<void> {
  const type =
    options.type === undefined
      ? TicketType.UNSPECIFIED
      : pick(TicketType, wordOf(options.type), "--type", "");
  const message = { content: await contentOf(session, options) };
  const request = { userId: options.user ?? "", subject, type, message };
  const answer = await session.client(SupportService).createTicket(request, session.keyed());
  session.output.message(CreateTicketResponseSchema, answer, () => ticketText(present(answer.ticket)));
}

async function reply(session: Session, ticketId: string, options: MessageOptions): Promise<void> {
  const message = { content: await contentOf(session, options) };
  const client = session.client(SupportService);
  const answer = await client.appendTicketMessage({ ticketId, message }, session.keyed());
  session.output.message(AppendTicketMessageResponseSchema, answer, () => ticketText(present(answer.ticket)));
}

async function closeTicket(session: Session, ticketId: string): Promise<void> {
  const answer = await session.client(SupportService).closeTicket({ ticketId }, session.keyed());
  session.output.message(CloseTicketResponseSchema, answer, () => `Ticket ${ticketId} is closed.\n`);
}

async function contentOf({ io }: Session, options: MessageOptions): Promise<string> {
  const content = options.message ?? (io.isTty.stdin ? "" : await readPiped(io, MESSAGE_BYTES_MAX));
  if (content.trim() !== "") return content;
  throw invalidArgument([{ field: "--message", description: "write something, or pipe it in" }]);
}

function wordOf(text: string): string {
  return text.toUpperCase().replaceAll("-", "_");
}

function tableOf(tickets: readonly Ticket[], now: Date): string {
  return table(
    [
      { title: "SUBJECT" },
      { title: "STATUS" },
      { title: "TYPE" },
      { title: "MESSAGES", right: true },
      { title: "AGE", right: true },
      { title: "LAST CHANGE", right: true },
      { title: "ID" },
    ],
    tickets.map((ticket) => [
      ticket.subject,
      TicketStatus[ticket.status] ?? "",
      TicketType[ticket.type] ?? "",
      String(ticket.messageCount),
      age(ticket.createdAt, now),
      age(ticket.updatedAt, now),
      ticket.ticketId,
    ]),
  );
}
