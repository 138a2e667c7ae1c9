import { isUuid } from "../base/id.ts";
import { cutPage, type Page } from "../base/page.ts";
import { invalidArgument } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import type { AuditEvent } from "./model.ts";
import { type After, type EventFilter, selectActivities, selectEvents } from "./store.ts";

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
  const rows = await selectEvents(ctx.db, filter, { after: afterOf(page), limit: page.size + 1 });
  return cut(rows, page, eventsQuery(filter));
}

/** What a page token of a user's activities is bound to. */
export function activitiesQuery(userId: string): string {
  return `activities ${userId}`;
}

/** One page of what a user did and what was done to it, newest first. */
export async function listActivities(ctx: DbCtx, userId: string, page: Page): Promise<EventsPage> {
  const rows = await selectActivities(ctx.db, userId, { after: afterOf(page), limit: page.size + 1 });
  return cut(rows, page, activitiesQuery(userId));
}

function cut(rows: readonly AuditEvent[], page: Page, query: string): EventsPage {
  const { rows: events, nextPageToken } = cutPage(rows, page, query, (event) => [
    event.at.toISOString(),
    event.id,
  ]);
  return { events, nextPageToken };
}

function afterOf(page: Page): After | undefined {
  if (page.after === undefined) return undefined;
  const [time = "", id = ""] = page.after;
  const at = new Date(time);
  // A forged token may name a time that the database has not.
  if (/^\d{4}-/.test(time) && !Number.isNaN(at.getTime()) && isUuid(id)) return { at, id };
  throw invalidArgument([{ field: "page_token", description: "must be the nextPageToken of the same list" }]);
}
