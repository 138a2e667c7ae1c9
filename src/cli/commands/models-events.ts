import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  ListModelEventsResponseSchema,
  ModelControlService,
  WatchModelEventsResponseSchema,
} from "../../../gen/slipway/model/v1/model_control_service_pb.js";
import { type ModelEvent, ModelStatus } from "../../../gen/tensormesh/model/v1/model_pb.js";
import type { CliIo } from "../io.ts";
import { modelIdOf } from "../model-ref.ts";
import { collectPages, type ListOptions, withListOptions } from "../pages.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { followed } from "../stream.ts";
import { eventLine } from "../wait-for.ts";

interface Options extends CommonOptions, ListOptions {
  readonly follow?: boolean;
}

export function addEvents(models: Command, io: CliIo): void {
  withCommonOptions(
    withListOptions(models.command("events").description("show what happened to a model, oldest first")),
  )
    .argument("<model>", "id or name")
    .option("--follow", "go on with what happens, until the model is gone")
    .action((reference: string, options: Options) =>
      run(io, options, async (session) => {
        const modelId = await modelIdOf(session, reference);
        const last = await listEvents(session, modelId, options);
        if (options.follow) await follow(session, modelId, last);
      }),
    );
}

/** Prints the newest events; returns the id of the last one. */
async function listEvents(session: Session, modelId: string, options: Options): Promise<bigint> {
  const client = session.client(ModelControlService);
  const { items, nextPageToken } = await collectPages(options.limit, async (page) => {
    const answer = await client.listModelEvents({ modelId, ...page });
    return { items: answer.events, nextPageToken: answer.nextPageToken };
  });
  const oldestFirst = [...items].reverse();
  const answer = create(ListModelEventsResponseSchema, { events: oldestFirst, nextPageToken });
  const text = () => oldestFirst.map((event) => `${eventLine(event)}\n`).join("");
  if (options.follow && session.output.format === "json")
    for (const event of oldestFirst) printEvent(session, event);
  else session.output.message(ListModelEventsResponseSchema, answer, text);
  return items[0]?.eventId ?? 0n;
}

/** Watches from the last event on; a broken stream is taken up again where it broke. */
async function follow(session: Session, modelId: string, from: bigint): Promise<void> {
  const client = session.client(ModelControlService);
  let last = from;
  await followed(session, async (signal) => {
    const stream = client.watchModelEvents({ modelId, afterEventId: last }, { signal, timeoutMs: 0 });
    for await (const { event } of stream) {
      if (event === undefined) continue;
      last = event.eventId;
      printEvent(session, event);
      if (event.status === ModelStatus.DELETED) return;
    }
  });
}

function printEvent(session: Session, event: ModelEvent): void {
  const message = create(WatchModelEventsResponseSchema, { event });
  session.output.line(WatchModelEventsResponseSchema, message, () => `${eventLine(event)}\n`);
}
