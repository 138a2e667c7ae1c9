import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { EngineMeasured, ReplicaName, ReplicaObservation } from "../driver.ts";
import { type Doing, judge, judgeSilent } from "./judge.ts";
import { type Ours, ofReplica } from "./look.ts";
import { machineOf } from "./machine.ts";
import { type MachineAt, machineLog, machineReport } from "./machine-client.ts";
import { pushRemoval } from "./remove.ts";
import type { DriverState } from "./state.ts";

/** Each may be silent for seconds, and all must be asked within one look. */
const LOOKS_AT_ONCE = 64;

/** What each replica is doing, from Lambda's list and the machines' own words. Also pushes removals that others left half-done. */
export async function observe(
  ctx: BaseCtx,
  state: DriverState,
  names: readonly ReplicaName[],
): Promise<readonly ReplicaObservation[]> {
  const look = await state.look(ctx, state.times.listAgeMs).catch((error: unknown) => {
    if (ctx.signal?.aborted) throw error;
    ctx.log.warn({ err: error }, "Lambda could not be looked at");
    return undefined;
  });
  if (!look) return names.map((name) => ({ name, at: ctx.clock.now(), phase: "unknown" }));
  const seen: ReplicaObservation[] = [];
  for (let from = 0; from < names.length; from += LOOKS_AT_ONCE) {
    const some = names.slice(from, from + LOOKS_AT_ONCE).map(async (name) => {
      const [there] = ofReplica(look, name);
      return {
        name,
        at: look.at,
        ...(there ? await doingOf(ctx, state, there) : { phase: "absent" as const }),
      };
    });
    seen.push(...(await Promise.all(some)));
  }
  return seen;
}

async function doingOf(ctx: BaseCtx, state: DriverState, there: Ours): Promise<Doing> {
  try {
    if (there.killAt) return await going(ctx, state, there);
    const early = judgeSilent(there, ctx.clock.now());
    if (there.instance.status === "booting" || there.instance.status === "terminating") return early;
    const wasProven = state.proven.has(there.instance.id);
    const machine = await machineOf(ctx, state, there).catch((error: unknown) => {
      const isStranger = error instanceof StatusError && error.code === "PERMISSION_DENIED";
      if (isStranger) ctx.log.warn({ err: error, replica: there.replica }, "another machine answers");
      return undefined;
    });
    if (!machine) return wasProven ? { phase: "unknown", detail: "the machine does not answer" } : early;
    const report = await machineReport(ctx, machine);
    const doing = judge(state.options, machine, report);
    if (doing.phase !== "up") return doing;
    const measured = await measuredOf(ctx, state, there.instance.id, machine);
    return measured ? { ...doing, measured } : doing;
  } catch (error) {
    if (ctx.signal?.aborted) throw error;
    ctx.log.warn({ err: error, replica: there.replica }, "a machine could not be observed");
    return { phase: "unknown", detail: "the machine does not answer" };
  }
}

async function going(ctx: BaseCtx, state: DriverState, there: Ours): Promise<Doing> {
  await pushRemoval(ctx, state, there);
  return { phase: "up", detail: `finishing its streams until ${there.killAt?.toISOString()}` };
}

const START_LINES = 5_000;

/** Read from the log when the engine is first seen up. */
async function measuredOf(
  ctx: BaseCtx,
  { options, measured }: DriverState,
  id: string,
  machine: MachineAt,
): Promise<EngineMeasured | undefined> {
  const known = measured.get(id);
  if (known) return known;
  const found: Record<string, number> = {};
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of await machineLog(ctx, machine, { tailLines: START_LINES, follow: false })) {
      chunks.push(chunk);
    }
    for (const line of Buffer.concat(chunks).toString("utf8").split("\n")) {
      const event = options.vllm.engine.readLog?.(line);
      if (event?.kind === "measured") found[event.what] = event.value;
    }
  } catch {
    return undefined; // asked again at the next look
  }
  measured.set(id, found);
  return found;
}
