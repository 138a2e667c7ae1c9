/** What an engine said before it ended, as far as it says more than how it ended. */
import { z } from "zod";
import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaFailure, ReplicaName } from "../driver.ts";
import { failureEvent, parseLine, TELLING, toldFailure } from "../engine-words.ts";
import { redact } from "../redact.ts";
import { ENGINE_KEY_FILE } from "./engine-container.ts";
import type { Ended } from "./judge.ts";
import type { DriverState } from "./state.ts";

const TAIL_LINES = 300;
const LOG_BYTES_MAX = 512 * 1024;

const progressLine = z.object({
  event: z.literal("progress"),
  doneBytes: z.number(),
  totalBytes: z.number(),
});

/** The failure with the reason that the log gives; as it was where the log tells none or can't be read. */
export async function lastWords(
  ctx: BaseCtx,
  state: DriverState,
  name: ReplicaName,
  ended: Ended,
  failure: ReplicaFailure,
): Promise<ReplicaFailure> {
  const lines = await logOf(ctx, state, ended).catch(() => []);
  const engineKey = await engineKeyOf(ctx, state, name).catch(() => "");
  const event = failureEvent(lines, engineKey);
  if (event) return event;
  for (const { failureOf } of Object.values(state.options.engines)) {
    const found = failureOf(lines);
    if (found) return toldFailure(found, engineKey);
  }
  const said = lines.findLast((line) => TELLING.test(line) && parseLine(line) === undefined);
  return said === undefined
    ? failure
    : { ...failure, message: `${failure.message} It last said: ${redact(said, engineKey)}` };
}

/** How far a download is, from the last line of its log. */
export async function progressOf(
  ctx: BaseCtx,
  { api }: DriverState,
  pod: string,
  container: string,
): Promise<{ readonly doneBytes: number; readonly totalBytes: number } | undefined> {
  const text = await textOf(await api.log(ctx, pod, { container, tailLines: "1" })).catch(() => "");
  const { data } = progressLine.safeParse(parseLine(text.trim()));
  return data && { doneBytes: data.doneBytes, totalBytes: data.totalBytes };
}

/** The key is in the replica's Secret; it is read only where lines of a log are told on. */
export async function engineKeyOf(ctx: BaseCtx, { api }: DriverState, name: ReplicaName): Promise<string> {
  const secret = secretSchema.safeParse(await api.get(ctx, "", "secrets", name)).data;
  return Buffer.from(secret?.data[ENGINE_KEY_FILE] ?? "", "base64").toString("utf8");
}

const secretSchema = z.object({ data: z.record(z.string(), z.string()).default({}) });

async function logOf(ctx: BaseCtx, { api }: DriverState, ended: Ended): Promise<readonly string[]> {
  // Once it was started again, its end is the log before.
  const previous = ended.status.state.running !== undefined;
  const query = {
    container: ended.container,
    tailLines: String(TAIL_LINES),
    limitBytes: String(LOG_BYTES_MAX),
    ...(previous ? { previous: "true" } : {}),
  };
  return (await textOf(await api.log(ctx, ended.pod.metadata.name, query))).trimEnd().split("\n");
}

async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > LOG_BYTES_MAX) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
