/** The wire of support: convert in, call one verb, convert out. */
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  AppendTicketMessageResponseSchema,
  CloseTicketResponseSchema,
  CreateTicketResponseSchema,
  GetTicketResponseSchema,
  ListTicketsResponseSchema,
  SupportService,
} from "../../gen/tensormesh/support/v1/support_service_pb.js";
import { answeredOnce, callCtx, type RoutesDeps } from "../identity/index.ts";
import { appendMessage } from "./append-message.ts";
import { closeTicket } from "./close-ticket.ts";
import { statusFromWire, ticketToWire, typeFromWire } from "./convert.ts";
import { createTicket } from "./create-ticket.ts";
import { getTicket } from "./get-ticket.ts";
import { listTickets } from "./list-tickets.ts";
import type { TicketView } from "./model.ts";
import type { SupportDeps } from "./ports.ts";

export interface SupportRoutesDeps extends RoutesDeps {
  readonly support: SupportDeps;
}

/** Registers SupportService. */
export function supportRoutes(deps: SupportRoutesDeps): (router: ConnectRouter) => void {
  return (router) => void router.service(SupportService, supportService(deps));
}

function supportService(deps: SupportRoutesDeps): ServiceImpl<typeof SupportService> {
  const { support } = deps;
  return {
    createTicket(request, context) {
      const input = {
        userId: deps.edge.ownerOf(context),
        principal: deps.edge.principalOf(context),
        subject: request.subject,
        type: typeFromWire(request.type),
        content: request.message?.content ?? "",
      };
      return answeredOnce(deps, context, CreateTicketResponseSchema, async (tx) =>
        create(CreateTicketResponseSchema, { ticket: viewToWire(await createTicket(tx, support, input)) }),
      );
    },
    async listTickets(request, context) {
      const { pageSize, pageToken } = request;
      const { tickets, nextPageToken } = await listTickets(callCtx(deps, context), {
        userId: deps.edge.ownerOrAllOf(context),
        status: statusFromWire(request.status),
        pageSize,
        pageToken,
      });
      const wire = tickets.map((ticket) => ticketToWire(ticket));
      return create(ListTicketsResponseSchema, { tickets: wire, nextPageToken });
    },
    async getTicket(request, context) {
      const view = await getTicket(callCtx(deps, context), target(deps, request, context));
      return create(GetTicketResponseSchema, { ticket: viewToWire(view) });
    },
    appendTicketMessage(request, context) {
      const input = { ...target(deps, request, context), content: request.message?.content ?? "" };
      return answeredOnce(deps, context, AppendTicketMessageResponseSchema, async (tx) =>
        create(AppendTicketMessageResponseSchema, {
          ticket: viewToWire(await appendMessage(tx, support, input)),
        }),
      );
    },
    async closeTicket(request, context) {
      const view = await closeTicket(callCtx(deps, context), support, target(deps, request, context));
      return create(CloseTicketResponseSchema, { ticket: viewToWire(view) });
    },
  };
}

function target(deps: RoutesDeps, request: { readonly ticketId: string }, context: HandlerContext) {
  return { principal: deps.edge.principalOf(context), ticketId: request.ticketId.toLowerCase() };
}

function viewToWire({ ticket, messages }: TicketView) {
  return ticketToWire(ticket, messages);
}
