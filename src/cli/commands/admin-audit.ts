import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  AdminAuditService,
  type AuditEvent,
  AuditOutcome,
  ListAuditEventsResponseSchema,
} from "../../../gen/slipway/audit/v1/audit_service_pb.js";
import { time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";
import { userIdOf } from "../user-ref.ts";
import { AS_ADMIN } from "./admin-users.ts";
import { parseMoment } from "./keys.ts";

interface Options extends CommonOptions, ListOptions {
  readonly user?: string;
  readonly actor?: string;
  readonly action?: string;
  readonly since?: Date;
  readonly until?: Date;
}

/** admin audit. */
export function addAdminAudit(admin: Command, io: CliIo): void {
  const audit = admin.command("audit").description("who did what to whom, and who was refused what");
  withCommonOptions(withListOptions(audit))
    .option("--user <user>", "only what happened to this user, by id or e-mail address")
    .option("--actor <user>", "only what this user did")
    .option("--action <action>", "only this action, or those of one kind: key.created, key")
    .option("--since <when>", "only from then on: a date, or a time ago such as 7d", parseMoment(io))
    .option("--until <when>", "only before then", parseMoment(io))
    .action((options: Options) => run(io, options, (session) => listEvents(session, options), AS_ADMIN));
}

async function listEvents(session: Session, options: Options): Promise<void> {
  const client = session.client(AdminAuditService);
  const { user, actor, action = "", since, until } = options;
  const query = {
    userId: user === undefined ? "" : await userIdOf(session, user),
    actorUserId: actor === undefined ? "" : await userIdOf(session, actor),
    action,
    ...(since && { since: timestampFromDate(since) }),
    ...(until && { until: timestampFromDate(until) }),
  };
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listAuditEvents({ ...query, ...page });
    return { items: answer.events, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListAuditEventsResponseSchema, { events: [...items], nextPageToken });
  session.output.message(ListAuditEventsResponseSchema, answer, () =>
    items.length === 0 ? "There are no such events.\n" : eventsText(items) + moreLine(nextPageToken),
  );
}

function eventsText(events: readonly AuditEvent[]): string {
  const columns = [
    { title: "TIME" },
    { title: "ACTION" },
    { title: "" },
    { title: "TIMES", right: true },
    { title: "BY" },
    { title: "FROM" },
    { title: "USER" },
    { title: "WHAT" },
  ];
  const rows = events.map((one) => [
    time(one.createdAt),
    one.action,
    one.outcome === AuditOutcome.REFUSED ? one.reason || "REFUSED" : "",
    String(one.times),
    one.actorUserId || "-",
    one.address || "-",
    one.userId || "-",
    whatText(one),
  ]);
  return table(columns, rows);
}

/** "model:6f1c… method=…": what it was done to, and the facts. */
export function whatText({ resource, details }: Pick<AuditEvent, "resource" | "details">): string {
  const facts = Object.entries(details).map(([name, value]) => `${name}=${value}`);
  return [resource, ...facts].filter((part) => part !== "").join(" ");
}
