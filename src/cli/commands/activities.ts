import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  type Activity,
  ActivityActor,
  ActivityService,
  AuditOutcome,
  ListActivitiesResponseSchema,
} from "../../../gen/slipway/audit/v1/audit_service_pb.js";
import { time } from "../human.ts";
import type { CliIo } from "../io.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";
import { whatText } from "./admin-audit.ts";

interface Options extends CommonOptions, ListOptions {
  readonly user?: string;
}

/** activities. */
export function addActivities(program: Command, io: CliIo): void {
  const activities = program.command("activities").description("what happened to the account, newest first");
  withCommonOptions(withListOptions(activities))
    .option("--user <id>", "another user's, for administrators")
    .action((options: Options) => run(io, options, (session) => listActivities(session, options)));
}

async function listActivities(session: Session, options: Options): Promise<void> {
  const client = session.client(ActivityService);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listActivities({ userId: options.user ?? "", ...page });
    return { items: answer.activities, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListActivitiesResponseSchema, { activities: [...items], nextPageToken });
  session.output.message(ListActivitiesResponseSchema, answer, () =>
    items.length === 0 ? "Nothing has happened yet.\n" : activitiesText(items) + moreLine(nextPageToken),
  );
}

function activitiesText(activities: readonly Activity[]): string {
  const columns = [
    { title: "TIME" },
    { title: "WHAT HAPPENED" },
    { title: "" },
    { title: "TIMES", right: true },
    { title: "BY" },
    { title: "FROM" },
    { title: "DETAILS" },
  ];
  const rows = activities.map((one) => [
    time(one.createdAt),
    one.summary,
    one.outcome === AuditOutcome.REFUSED ? one.reason || "REFUSED" : "",
    String(one.times),
    byText(one.actor),
    one.address,
    whatText(one),
  ]);
  return table(columns, rows);
}

function byText(actor: ActivityActor): string {
  if (actor === ActivityActor.SELF) return "you";
  if (actor === ActivityActor.UNSPECIFIED) return "-";
  return (ActivityActor[actor] ?? "").toLowerCase();
}
