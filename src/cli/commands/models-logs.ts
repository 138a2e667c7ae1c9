import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import {
  GetModelLogsResponseSchema,
  type LogLine,
  ModelControlService,
  StreamModelLogsResponseSchema,
} from "../../../gen/slipway/model/v1/model_control_service_pb.js";
import type { CliIo } from "../io.ts";
import { modelIdOf } from "../model-ref.ts";
import { plain } from "../plain.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { followed } from "../stream.ts";

const TAIL_MAX = 10_000;

interface Options extends CommonOptions {
  readonly tail: number;
  readonly replica?: string;
  readonly follow?: boolean;
}

export function addLogs(models: Command, io: CliIo): void {
  withCommonOptions(models.command("logs").description("show the last lines of the engines' logs"))
    .argument("<model>", "id or name")
    .option("--tail <lines>", "lines of each replica", parseTail, 200)
    .option("--replica <name>", "only of this replica")
    .option("--follow", "go on with new lines as they come")
    .action((reference: string, options: Options) =>
      run(io, options, async (session) => {
        const modelId = await modelIdOf(session, reference);
        const query = { modelId, tailLines: options.tail, replica: options.replica ?? "" };
        if (options.follow) return follow(session, query);
        const answer = await session.client(ModelControlService).getModelLogs(query);
        session.output.message(GetModelLogsResponseSchema, answer, () => answer.lines.map(lineText).join(""));
      }),
    );
}

async function follow(
  session: Session,
  query: { modelId: string; tailLines: number; replica: string },
): Promise<void> {
  const client = session.client(ModelControlService);
  await followed(session, async (signal) => {
    for await (const message of client.streamModelLogs(query, { signal, timeoutMs: 0 })) {
      const { line } = message;
      if (line !== undefined)
        session.output.line(StreamModelLogsResponseSchema, message, () => lineText(line));
    }
  });
}

function lineText({ replica, line }: LogLine): string {
  return `${replica}  ${plain(line).trimEnd()}\n`;
}

function parseTail(text: string): number {
  const count = Number(text);
  // 0 would mean the server's default, so it is refused here.
  if (Number.isInteger(count) && count >= 1 && count <= TAIL_MAX) return count;
  throw new InvalidArgumentError(`Give a whole number from 1 to ${TAIL_MAX}.`);
}
