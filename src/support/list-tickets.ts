import { cutPage, parsePage, timeAndId } from "../base/page.ts";
import type { DbCtx } from "../db/db.ts";
import type { Ticket, TicketStatus } from "./model.ts";
import { selectTickets } from "./store.ts";

export interface ListTicketsInput {
  /** Whose; undefined for every user's. */
  readonly userId: string | undefined;
  /** Undefined for any. */
  readonly status: TicketStatus | undefined;
  readonly pageSize: number;
  readonly pageToken: string;
}

/** A page of tickets, newest first, without their conversations. Throws INVALID_FIELD for a token of another list. */
export async function listTickets(
  ctx: DbCtx,
  input: ListTicketsInput,
): Promise<{ readonly tickets: readonly Ticket[]; readonly nextPageToken: string }> {
  const { userId, status } = input;
  const query = JSON.stringify(["tickets", userId ?? "*", status ?? "*"]);
  const page = parsePage(input, query);
  const rows = await selectTickets(ctx, { userId, status, after: timeAndId(page), limit: page.size + 1 });
  const cut = cutPage(rows, page, query, (ticket) => [ticket.createdAt.toISOString(), ticket.id]);
  return { tickets: cut.rows, nextPageToken: cut.nextPageToken };
}
