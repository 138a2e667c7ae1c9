import type { JsonObject } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  ModelControlService,
  UpdateModelResponseSchema,
} from "../../../gen/slipway/model/v1/model_control_service_pb.js";
import { invalidArgument } from "../../base/status.ts";
import type { CliIo } from "../io.ts";
import { modelIdOf, present } from "../model-ref.ts";
import { modelText } from "../model-text.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { parseSetting } from "./deploy-request.ts";
import { parsePositive } from "./numbers.ts";

interface Options extends CommonOptions {
  readonly description?: string;
  readonly replicas?: number;
  readonly set: JsonObject;
}

export function addUpdate(models: Command, io: CliIo): void {
  withCommonOptions(
    models.command("update").description("change a model; the old replicas answer until the new ones do"),
  )
    .argument("<model>", "id or name")
    .option("--description <text>", "free text")
    .option("--replicas <count>", "replicas to run", parsePositive)
    .option(
      "--set <key=value>",
      "a setting of the engine, null for its default; may be repeated",
      parseSetting,
      {},
    )
    .action((reference: string, options: Options) =>
      run(io, options, (session) => update(session, reference, options)),
    );
}

async function update(session: Session, reference: string, options: Options): Promise<void> {
  const { description, replicas } = options;
  const changes = {
    ...(description === undefined ? {} : { description }),
    ...(replicas === undefined ? {} : { replicas }),
    ...(Object.keys(options.set).length === 0 ? {} : { modelSpec: options.set }),
  };
  if (Object.keys(changes).length === 0) {
    throw invalidArgument([
      { field: "options", description: "name what to change: --description, --replicas or --set" },
    ]);
  }
  const modelId = await modelIdOf(session, reference);
  const answer = await session.client(ModelControlService).updateModel({ modelId, ...changes });
  const model = present(answer.model);
  model.apiKey = "";
  session.output.message(UpdateModelResponseSchema, answer, () => modelText(model, session.io.clock.now()));
}
