import { type Command, InvalidArgumentError, Option } from "commander";
import { GetModelResponseSchema } from "../../../gen/tensormesh/model/v1/model_service_pb.js";
import type { CliIo } from "../io.ts";
import { modelIdOf } from "../model-ref.ts";
import { modelText } from "../model-text.ts";
import { run, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { GOALS, type Goal, waitFor } from "../wait-for.ts";

/** Large weights over a slow line take long; past this something is wrong. */
export const WAIT_DEFAULT_S = 3_600;
const WAIT_MAX_S = 7 * 86_400;

interface Options extends CommonOptions {
  readonly for: Goal;
  readonly waitSeconds: number;
}

export function addWait(models: Command, io: CliIo): void {
  withCommonOptions(models.command("wait").description("wait until a model answers, is paused or is gone"))
    .argument("<model>", "id or name")
    .addOption(new Option("--for <state>", "what to wait for").choices(GOALS).default("running"))
    .option("--wait-seconds <seconds>", "longest wait", parseWaitSeconds, WAIT_DEFAULT_S)
    .action((reference: string, options: Options) =>
      run(io, options, async (session) => {
        const modelId = await modelIdOf(session, reference);
        const answer = await waitFor(session, modelId, { goal: options.for, seconds: options.waitSeconds });
        if (answer.model) answer.model.apiKey = "";
        const text = () =>
          answer.model ? modelText(answer.model, io.clock.now()) : `${reference} is gone.\n`;
        session.output.message(GetModelResponseSchema, answer, text);
      }),
    );
}

export function parseWaitSeconds(text: string): number {
  const seconds = Number(text);
  if (Number.isFinite(seconds) && seconds >= 0 && seconds <= WAIT_MAX_S) return seconds;
  throw new InvalidArgumentError(`Give seconds, at most ${WAIT_MAX_S}.`);
}
