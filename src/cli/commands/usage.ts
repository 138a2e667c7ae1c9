import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  ListModelUsageResponseSchema,
  ListUsageHistoryResponseSchema,
  type Usage,
  UsageService,
} from "../../../gen/slipway/billing/v1/usage_service_pb.js";
import { type DaysOptions, day, daysOf, lastDay, withDaysOptions } from "../days.ts";
import { duration, money } from "../human.ts";
import type { CliIo } from "../io.ts";
import { modelIdOf } from "../model-ref.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { type Column, table } from "../table.ts";

interface Options extends CommonOptions, ListOptions, DaysOptions {
  readonly model?: string;
  readonly user?: string;
}

/** usage, usage history. */
export function addUsage(program: Command, io: CliIo): void {
  const usage = program
    .command("usage")
    .description("what models used and cost, and what their caches saved");
  const models = usage
    .command("models", { isDefault: true })
    .description("model by model, the last month unless days are given");
  withUsageOptions(models).action((options: Options) =>
    run(io, options, (session) => listModels(session, options)),
  );
  const history = usage.command("history").description("day by day and model by model, the newest day first");
  withUsageOptions(history).action((options: Options) =>
    run(io, options, (session) => listHistory(session, options)),
  );
}

function withUsageOptions(command: Command): Command {
  return withCommonOptions(withDaysOptions(withListOptions(command)))
    .option("--model <model>", "only this model, by id or name")
    .option("--user <id>", "another user's, for administrators");
}

async function queryOf(session: Session, options: Options) {
  const modelId = options.model === undefined ? "" : await modelIdOf(session, options.model);
  return { userId: options.user ?? "", modelId, ...daysOf(options) };
}

async function listModels(session: Session, options: Options): Promise<void> {
  const client = session.client(UsageService);
  const query = await queryOf(session, options);
  let answer = create(ListModelUsageResponseSchema);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    answer = await client.listModelUsage({ ...query, ...page });
    return { items: answer.models, nextPageToken: answer.nextPageToken };
  });
  answer.models = [...items];
  const { total } = answer;
  const rows = items.map((one) => [one.servedName || "(time)", ...cells(one.usage), one.modelId]);
  session.output.message(ListModelUsageResponseSchema, answer, () =>
    rows.length === 0
      ? `Nothing was used from ${day(answer.startTime)} to ${lastDay(answer.endTime)}.\n`
      : `${day(answer.startTime)} to ${lastDay(answer.endTime)} (UTC)\n` +
        table(
          [{ title: "MODEL" }, ...USAGE_COLUMNS, { title: "ID" }],
          [...rows, ["total", ...cells(total), ""]],
        ) +
        moreLine(nextPageToken),
  );
}

async function listHistory(session: Session, options: Options): Promise<void> {
  const client = session.client(UsageService);
  const query = await queryOf(session, options);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const part = await client.listUsageHistory({ ...query, ...page });
    return { items: part.rows, nextPageToken: part.nextPageToken };
  });
  const answer = create(ListUsageHistoryResponseSchema, { rows: [...items], nextPageToken });
  const rows = items.map((one) => [
    day(one.bucketStart),
    one.servedName || "(time)",
    ...cells(one.usage),
    one.modelId,
  ]);
  const columns = [{ title: "DAY" }, { title: "MODEL" }, ...USAGE_COLUMNS, { title: "ID" }];
  session.output.message(ListUsageHistoryResponseSchema, answer, () =>
    rows.length === 0 ? "Nothing was used.\n" : table(columns, rows) + moreLine(nextPageToken),
  );
}

const USAGE_COLUMNS: readonly Column[] = [
  { title: "REQUESTS", right: true },
  { title: "INPUT", right: true },
  { title: "CACHED", right: true },
  { title: "HIT", right: true },
  { title: "OUTPUT", right: true },
  { title: "TIME", right: true },
  { title: "COST", right: true },
  { title: "SAVED", right: true },
];

function cells(usage: Usage | undefined): readonly string[] {
  if (usage === undefined) return USAGE_COLUMNS.map(() => "-");
  const { cacheHitRate, gpuTimeMs } = usage;
  return [
    String(usage.requests),
    String(usage.promptTokens),
    String(usage.cachedTokens),
    cacheHitRate === undefined ? "-" : `${(cacheHitRate * 100).toFixed(1)} %`,
    String(usage.completionTokens),
    gpuTimeMs === 0n ? "-" : duration(Number(gpuTimeMs) / 1_000),
    money(usage.amount),
    money(usage.costSaving),
  ];
}
