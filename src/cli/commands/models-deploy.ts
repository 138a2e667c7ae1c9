import type { Command } from "commander";
import {
  BillingModelService,
  DeployModelResponseSchema,
} from "../../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import { GetModelResponseSchema } from "../../../gen/tensormesh/model/v1/model_service_pb.js";
import type { CliIo } from "../io.ts";
import { present } from "../model-ref.ts";
import { modelText } from "../model-text.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import { waitFor } from "../wait-for.ts";
import { type DeployOptions, deployRequest, withDeployOptions } from "./deploy-request.ts";
import { parseWaitSeconds, WAIT_DEFAULT_S } from "./models-wait.ts";

interface Options extends DeployOptions {
  readonly wait?: boolean;
  readonly waitSeconds: number;
  readonly idempotencyKey?: string;
  readonly showKey?: boolean;
}

export function addDeploy(models: Command, io: CliIo): void {
  withCommonOptions(withDeployOptions(models.command("deploy").description("deploy a model")))
    .option("--wait", "wait until it answers")
    .option("--wait-seconds <seconds>", "longest wait", parseWaitSeconds, WAIT_DEFAULT_S)
    .option("--idempotency-key <key>", "the key of an earlier try: a repeat gets its answer")
    .option("--show-key", "print the key that opens the endpoint")
    .action((weights: string | undefined, options: Options) =>
      run(io, options, (session) => deploy(session, weights, options)),
    );
}

async function deploy(session: Session, weights: string | undefined, options: Options): Promise<void> {
  const request = await deployRequest(session, weights, options);
  // The key makes the call repeatable: a lost answer never becomes a second model.
  const keyed = session.keyed(options.idempotencyKey);
  const answer = await session.client(BillingModelService).deployModel(request, keyed);
  const model = present(answer.model);
  const now = session.io.clock.now();
  if (options.showKey !== true) model.apiKey = "";
  if (options.wait !== true) {
    session.output.message(
      DeployModelResponseSchema,
      answer,
      () => `${modelText(model, now)}\nWait until it answers: slipway models wait ${model.modelName}\n`,
    );
    return;
  }
  session.progress.line(`Accepted: ${model.modelName} (${model.modelId})`);
  const running = await waitFor(session, model.modelId, { goal: "running", seconds: options.waitSeconds });
  const up = present(running.model);
  if (options.showKey !== true) up.apiKey = "";
  session.output.message(GetModelResponseSchema, running, () => modelText(up, session.io.clock.now()));
}
