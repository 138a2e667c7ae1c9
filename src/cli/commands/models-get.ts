import type { Command } from "commander";
import { GetModelResponseSchema, ModelService } from "../../../gen/tensormesh/model/v1/model_service_pb.js";
import type { CliIo } from "../io.ts";
import { modelIdOf, present } from "../model-ref.ts";
import { modelText } from "../model-text.ts";
import { run, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";

interface Options extends CommonOptions {
  readonly showKey?: boolean;
}

export function addGet(models: Command, io: CliIo): void {
  withCommonOptions(models.command("get").description("show one model: its state, why, endpoint"))
    .argument("<model>", "id or name")
    .option("--show-key", "print the key that opens the endpoint")
    .action((reference: string, options: Options) =>
      run(io, options, async (session) => {
        const modelId = await modelIdOf(session, reference);
        const answer = await session.client(ModelService).getModel({ modelId });
        const model = present(answer.model);
        const showKey = options.showKey === true;
        if (!showKey) model.apiKey = "";
        session.output.message(GetModelResponseSchema, answer, () => modelText(model, io.clock.now()));
      }),
    );
}
