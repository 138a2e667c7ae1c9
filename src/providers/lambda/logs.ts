import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { ReplicaName } from "../driver.ts";
import { linesIn } from "../log-lines.ts";
import { redact } from "../redact.ts";
import { ofReplica } from "./look.ts";
import { machineOf } from "./machine.ts";
import { machineLog } from "./machine-client.ts";
import type { DriverState } from "./state.ts";

const TAIL_LINES_MAX = 10_000;

/**
 * Lines of the engine, with follow until it ends or the signal aborts. Throws LOGS_UNAVAILABLE when the machine is not there or does not
 * answer: a log is on the machine, and gone with it.
 */
export async function* logs(
  ctx: BaseCtx,
  state: DriverState,
  name: ReplicaName,
  options: { readonly tailLines: number; readonly follow: boolean },
): AsyncIterable<string> {
  const tailLines = Math.min(Math.max(0, options.tailLines), TAIL_LINES_MAX);
  const body = await open(ctx, state, name, { tailLines, follow: options.follow });
  if (!body) throw unavailable(name);
  try {
    // The machine itself takes out the secrets of its order; what merely looks like one goes here.
    for await (const line of linesIn(body)) yield redact(line, "");
  } catch (error) {
    // With its machine a log ends in the middle.
    if (!ctx.signal?.aborted) ctx.log.debug({ err: error, replica: name }, "a log ended");
  }
}

async function open(
  ctx: BaseCtx,
  state: DriverState,
  name: ReplicaName,
  how: { readonly tailLines: number; readonly follow: boolean },
): Promise<AsyncIterable<Buffer> | undefined> {
  const [there] = ofReplica(await state.look(ctx, state.times.listAgeMs), name);
  if (!there) return undefined;
  try {
    const machine = await machineOf(ctx, state, there);
    return machine && (await machineLog(ctx, machine, how));
  } catch (error) {
    if (ctx.signal?.aborted) throw error;
    return undefined;
  }
}

function unavailable(name: ReplicaName): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "LOGS_UNAVAILABLE",
    message: `There is no log of replica ${name}: its machine does not answer yet, or is gone.`,
  });
}
