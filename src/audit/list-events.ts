import { cutPage, type Page, timeAndId } from "../base/page.ts";
import type { DbCtx } from "../db/db.ts";
import type { AuditEvent } from "./model.ts";
import { type EventFilter, selectActivities, selectEvents } from "./store.ts";

export interface EventsPage {
  readonly events: readonly AuditEvent[];
  readonly nextPageToken: string;
}

/** What a page token of the audit log is bound to. */
export function eventsQuery(filter: EventFilter): string {
  const { subjectId, actorId, action, from, to } = filter;
  const times = [from, to].map((time) => time?.toISOString() ?? "");
  return `audit ${JSON.stringify([subjectId ?? "", actorId ?? "", action ?? "", ...times])}`;
}

/** One page of the audit log, newest first. */
export async function listEvents(ctx: DbCtx, filter: EventFilter, page: Page): Promise<EventsPage> {
  const rows = await selectEvents(ctx.db, filter, { after: timeAndId(page), limit: page.size + 1 });
  return cut(rows, page, eventsQuery(filter));
}

/** What a page token of a user's activities is bound to. */
export function activitiesQuery(userId: string): string {
  return `activities ${userId}`;
}

/** One page of what a user did and what was done to it, newest first. */
export async function listActivities(ctx: DbCtx, userId: string, page: Page): Promise<EventsPage> {
  const rows = await selectActivities(ctx.db, userId, { after: timeAndId(page), limit: page.size + 1 });
  return cut(rows, page, activitiesQuery(userId));
}

function cut(rows: readonly AuditEvent[], page: Page, query: string): EventsPage {
  const { rows: events, nextPageToken } = cutPage(rows, page, query, (event) => [
    event.at.toISOString(),
    event.id,
  ]);
  return { events, nextPageToken };
}
