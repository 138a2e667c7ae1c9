import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  ModelControlService,
  PauseModelResponseSchema,
  ResumeModelResponseSchema,
  RetryModelResponseSchema,
} from "../../../gen/slipway/model/v1/model_control_service_pb.js";
import type { Model } from "../../../gen/tensormesh/model/v1/model_pb.js";
import {
  DeleteModelResponseSchema,
  GetModelResponseSchema,
  ModelService,
} from "../../../gen/tensormesh/model/v1/model_service_pb.js";
import type { CliIo } from "../io.ts";
import { modelIdOf, present } from "../model-ref.ts";
import { statusName } from "../model-text.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { type Goal, waitFor } from "../wait-for.ts";
import { parseWaitSeconds, WAIT_DEFAULT_S } from "./models-wait.ts";

interface Options extends CommonOptions {
  readonly wait?: boolean;
  readonly waitSeconds: number;
}

interface Change<D extends DescMessage> {
  readonly name: string;
  readonly description: string;
  readonly goal: Goal;
  readonly schema: D;
  call(session: Session, modelId: string): Promise<MessageShape<D> & { model?: Model | undefined }>;
}

/** pause, resume, retry, delete: one call that answers at once, then the wait where it is wanted. */
export function addChanges(models: Command, io: CliIo): void {
  addChange(models, io, {
    name: "pause",
    description: "stop a model and keep everything; charging ends at once",
    goal: "paused",
    schema: PauseModelResponseSchema,
    call: (session, modelId) => session.client(ModelControlService).pauseModel({ modelId }, session.keyed()),
  });
  addChange(models, io, {
    name: "resume",
    description: "start a paused model again",
    goal: "running",
    schema: ResumeModelResponseSchema,
    call: (session, modelId) => session.client(ModelControlService).resumeModel({ modelId }, session.keyed()),
  });
  addChange(models, io, {
    name: "retry",
    description: "try a failed model again",
    goal: "running",
    schema: RetryModelResponseSchema,
    call: (session, modelId) => session.client(ModelControlService).retryModel({ modelId }, session.keyed()),
  });
  addChange(models, io, {
    name: "delete",
    description: "delete a model: it finishes its running requests, then its machines go",
    goal: "deleted",
    schema: DeleteModelResponseSchema,
    call: (session, modelId) => session.client(ModelService).deleteModel({ modelId }),
  });
}

function addChange<D extends DescMessage>(models: Command, io: CliIo, change: Change<D>): void {
  withCommonOptions(models.command(change.name).description(change.description))
    .argument("<model>", "id or name")
    .option("--wait", "wait until it is done")
    .option("--wait-seconds <seconds>", "longest wait", parseWaitSeconds, WAIT_DEFAULT_S)
    .action((reference: string, options: Options) =>
      run(io, options, async (session) => {
        const modelId = await modelIdOf(session, reference);
        const answer = await change.call(session, modelId);
        const model = present(answer.model);
        model.apiKey = "";
        const name = model.modelName;
        if (options.wait !== true) {
          session.output.message(change.schema, answer, () => `${name} is ${statusName(model.status)}\n`);
          return;
        }
        const reached = await waitFor(session, modelId, {
          goal: change.goal,
          seconds: options.waitSeconds,
          after: model.events[0]?.eventId ?? 0n,
        });
        if (reached.model) reached.model.apiKey = "";
        const state = change.goal.toUpperCase();
        session.output.message(GetModelResponseSchema, reached, () => `${name} is ${state}\n`);
      }),
    );
}
