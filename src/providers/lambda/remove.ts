import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName } from "../driver.ts";
import { instanceName } from "./instance-name.ts";
import { type Ours, ofReplica } from "./look.ts";
import { machineOf } from "./machine.ts";
import { drainEngine, machineReport } from "./machine-client.ts";
import { isNotFound } from "./refusal.ts";
import type { DriverState } from "./state.ts";

/** Writes into the instance's name until when it may go on, then begins; whoever looks next goes on. A second order may only be sooner. */
export async function remove(
  ctx: BaseCtx,
  state: DriverState,
  name: ReplicaName,
  { graceMs }: { readonly graceMs: number },
): Promise<void> {
  state.jobs.get(name)?.abort.abort();
  for (const there of ofReplica(await state.look(ctx, 0), name)) {
    if (there.instance.status === "terminating") continue;
    if (graceMs <= 0) await terminate(ctx, state, there);
    else await mark(ctx, state, there, new Date(ctx.clock.now().getTime() + graceMs));
  }
}

async function mark(ctx: BaseCtx, state: DriverState, there: Ours, asked: Date): Promise<void> {
  const killAt = there.killAt && there.killAt <= asked ? there.killAt : asked;
  if (killAt !== there.killAt) {
    const { replica, launchedAt, instance } = there;
    try {
      await state.api.rename(ctx, instance.id, instanceName({ replica, launchedAt, killAt }));
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    state.steps.reach("lambda.removing");
  }
  await pushRemoval(ctx, state, { ...there, killAt });
}

/** One step onward: the engine is told to finish; a machine whose engine has ended, or whose time is up, goes. */
export async function pushRemoval(ctx: BaseCtx, state: DriverState, there: Ours): Promise<void> {
  if (there.instance.status === "terminating") return;
  const leftMs = (there.killAt?.getTime() ?? 0) - ctx.clock.now().getTime();
  if (leftMs <= 0 || (await hasEnded(ctx, state, there, leftMs))) await terminate(ctx, state, there);
}

/** A machine that can't be asked may stream yet, so it keeps its time. */
async function hasEnded(ctx: BaseCtx, state: DriverState, there: Ours, leftMs: number): Promise<boolean> {
  // Before its order there is nothing to finish.
  if (there.instance.status === "booting") return true;
  try {
    const machine = await machineOf(ctx, state, there);
    if (!machine) return true;
    const { phase } = await machineReport(ctx, machine);
    if (phase !== "starting" && phase !== "up" && phase !== "draining") return true;
    await drainEngine(ctx, machine, leftMs);
    return false;
  } catch (error) {
    if (ctx.signal?.aborted) throw error;
    return false;
  }
}

async function terminate(ctx: BaseCtx, state: DriverState, { instance }: Ours): Promise<void> {
  await state.api.terminate(ctx, instance.id);
  state.proven.delete(instance.id);
  state.measured.delete(instance.id);
}
