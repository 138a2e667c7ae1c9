import { create } from "@bufbuild/protobuf";
import { type Command, Option } from "commander";
import { type Model, ModelStatus } from "../../../gen/tensormesh/model/v1/model_pb.js";
import { ListModelsResponseSchema, ModelService } from "../../../gen/tensormesh/model/v1/model_service_pb.js";
import { age } from "../human.ts";
import type { CliIo } from "../io.ts";
import { statusName } from "../model-text.ts";
import { collectPages, type ListOptions, moreLine, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { table } from "../table.ts";
import { hardware, pick, placeName } from "../wire-words.ts";

const ORDERS = ["created_at", "updated_at", "model_name"] as const;

interface Options extends CommonOptions, ListOptions {
  readonly status?: readonly string[];
  readonly order?: string;
  readonly user?: string;
  readonly allUsers?: boolean;
}

export function addList(models: Command, io: CliIo): void {
  withCommonOptions(withListOptions(models.command("list").description("list models, newest first")))
    .option("--status <state...>", "only models in one of these states")
    .addOption(new Option("--order <field>", "sort by this field, ascending").choices(ORDERS))
    .option("--user <id>", "another user's models, for administrators")
    .option("--all-users", "every user's models, for administrators")
    .action((options: Options) =>
      run(io, options, (session) => list(session, options), {
        capacity: options.allUsers ? "admin" : "user",
      }),
    );
}

async function list(session: Session, options: Options): Promise<void> {
  const client = session.client(ModelService);
  const query = {
    userId: options.user ?? "",
    allUsers: options.allUsers === true,
    orderBy: options.order ?? "",
    status: (options.status ?? []).map((name) => pick(ModelStatus, name.toUpperCase(), "--status", "")),
  };
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listModels({ ...query, ...page });
    return { items: answer.models, nextPageToken: answer.nextPageToken };
  });
  const answer = create(ListModelsResponseSchema, { models: [...items], nextPageToken });
  session.output.message(ListModelsResponseSchema, answer, () =>
    items.length === 0 ? NONE : tableOf(items, session.io.clock.now()) + moreLine(nextPageToken),
  );
}

const NONE = "There are no models. Deploy one: slipway models deploy <weights>\n";

function tableOf(models: readonly Model[], now: Date): string {
  return table(
    [
      { title: "NAME" },
      { title: "STATUS" },
      { title: "PLACE" },
      { title: "HARDWARE" },
      { title: "READY", right: true },
      { title: "AGE", right: true },
      { title: "WEIGHTS" },
      { title: "ID" },
    ],
    models.map((model) => [
      model.modelName,
      statusName(model.status),
      placeName(model.infra) || "-",
      hardware(model.gpuCount, model.gpuType),
      `${model.readyReplicas}/${model.replicas}`,
      age(model.createdAt, now),
      model.modelPath,
      model.modelId,
    ]),
  );
}
