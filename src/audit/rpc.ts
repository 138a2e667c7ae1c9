/** The wire of the audit log: convert in, read a page, convert out. */
import { create } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  ActivityService,
  AdminAuditService,
  ListActivitiesResponseSchema,
  type ListAuditEventsRequest,
  ListAuditEventsResponseSchema,
} from "../../gen/slipway/audit/v1/audit_service_pb.js";
import type { BaseCtx } from "../base/ctx.ts";
import { parsePage } from "../base/page.ts";
import type { Db } from "../db/db.ts";
import { activityToWire, dateFromWire, eventToWire } from "./convert.ts";
import { activitiesQuery, eventsQuery, listActivities, listEvents } from "./list-events.ts";
import type { EventFilter } from "./store.ts";

/** What the edge hands in. Identity's own type of it lies above this domain. */
export interface AuditRoutesDeps {
  readonly db: Db;
  readonly edge: {
    ctxOf(context: HandlerContext): BaseCtx;
    ownerOf(context: HandlerContext): string;
  };
}

/** Registers AdminAuditService and ActivityService. */
export function auditRoutes(deps: AuditRoutesDeps): (router: ConnectRouter) => void {
  return (router) => {
    router.service(AdminAuditService, adminAuditService(deps));
    router.service(ActivityService, activityService(deps));
  };
}

function adminAuditService(deps: AuditRoutesDeps): ServiceImpl<typeof AdminAuditService> {
  return {
    async listAuditEvents(request, context) {
      const filter = filterOf(request);
      const page = parsePage(request, eventsQuery(filter));
      const { events, nextPageToken } = await listEvents(ctxOf(deps, context), filter, page);
      return create(ListAuditEventsResponseSchema, { events: events.map(eventToWire), nextPageToken });
    },
  };
}

function activityService(deps: AuditRoutesDeps): ServiceImpl<typeof ActivityService> {
  return {
    async listActivities(request, context) {
      const userId = deps.edge.ownerOf(context);
      const page = parsePage(request, activitiesQuery(userId));
      const { events, nextPageToken } = await listActivities(ctxOf(deps, context), userId, page);
      const activities = events.map((event) => activityToWire(event, userId));
      return create(ListActivitiesResponseSchema, { activities, nextPageToken });
    },
  };
}

function filterOf(request: ListAuditEventsRequest): EventFilter {
  const { userId, actorUserId, action } = request;
  return {
    subjectId: userId === "" ? undefined : userId.toLowerCase(),
    actorId: actorUserId === "" ? undefined : actorUserId.toLowerCase(),
    action: action === "" ? undefined : action,
    from: dateFromWire(request.since),
    to: dateFromWire(request.until),
  };
}

function ctxOf({ db, edge }: AuditRoutesDeps, context: HandlerContext) {
  return { ...edge.ctxOf(context), db };
}
