/** From a machine that was launched to an engine that was ordered. Nothing of it is kept: who comes later begins where the machine is. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName } from "../driver.ts";
import { ofReplica } from "./look.ts";
import { machineOf } from "./machine.ts";
import { machineReport, orderEngine } from "./machine-client.ts";
import type { DriverState } from "./state.ts";

/** Longer than any machine boots: 8 GPUs take up to 25 minutes, their check 10 more. */
const BRING_UP_MS = 60 * 60_000;
/** A machine that was launched is listed by then. */
const APPEAR_MS = 3 * 60_000;

/** Ends when the order is taken, the machine is gone or going, or the signal aborts. Handles its own errors. */
export async function bringUp(
  ctx: BaseCtx & { readonly signal: AbortSignal },
  state: DriverState,
  name: ReplicaName,
  order: object,
): Promise<void> {
  const startedMs = ctx.clock.monotonicMs();
  while (!ctx.signal.aborted && ctx.clock.monotonicMs() - startedMs < BRING_UP_MS) {
    const mayAppear = ctx.clock.monotonicMs() - startedMs < APPEAR_MS;
    const step = await stepOn(ctx, state, name, order).catch((error: unknown): Step => {
      if (!ctx.signal.aborted) ctx.log.debug({ err: error, replica: name }, "a machine does not answer yet");
      return "wait";
    });
    if (step === "done" || (step === "absent" && !mayAppear)) return;
    await ctx.clock.sleep(state.times.pollMs, ctx.signal).catch(() => {});
  }
}

type Step = "done" | "absent" | "wait";

async function stepOn(ctx: BaseCtx, state: DriverState, name: ReplicaName, order: object): Promise<Step> {
  const [kept, ...surplus] = ofReplica(await state.look(ctx, state.times.listAgeMs), name);
  if (!kept) return "absent";
  if (kept.killAt) return "done";
  for (const { instance } of surplus) {
    ctx.log.warn({ replica: name, instance: instance.id }, "a second machine of a replica is given back");
    await state.api.terminate(ctx, instance.id);
  }
  if (kept.instance.status === "terminating") return "done";
  const machine = await machineOf(ctx, state, kept);
  if (!machine) return "wait";
  const { phase } = await machineReport(ctx, machine);
  if (phase === "checking") return "wait";
  if (phase === "waiting") {
    await orderEngine(ctx, machine, order);
    state.steps.reach("lambda.created");
  }
  return "done";
}
