import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec } from "../driver.ts";
import { bringUp } from "./bring-up.ts";
import { engineOrder } from "./engine-order.ts";
import { launch } from "./launch.ts";
import { ofReplica } from "./look.ts";
import { type DriverState, startJob } from "./state.ts";

/**
 * Makes the replica exist: its machine at once, its order in the background of this process as soon as the machine takes it. Repeating
 * it does what is missing and nothing else, in any worker. A replica that is going stays so.
 */
export async function apply(ctx: BaseCtx, state: DriverState, spec: ReplicaSpec): Promise<void> {
  if (!state.options.config.regions.some((region) => region === spec.region))
    throw unknownRegion(spec.region);
  const order = engineOrder(state.options, spec);
  if (state.jobs.has(spec.name)) return;
  const [there] = ofReplica(await state.look(ctx, state.times.listAgeMs).catch(unclear), spec.name);
  if (there?.killAt) return;
  if (!there) await launch(ctx, state, spec);
  startJob(state, spec.name, (signal) => bringUp({ ...ctx, signal }, state, spec.name, order));
}

/** Its machine may be there already: whatever kept us from looking is no refusal, for a refused replica's machine is given back. */
function unclear(error: unknown): never {
  const { reason, message, retryAfterMs } = StatusError.from(error);
  const pause = retryAfterMs === undefined ? {} : { retryAfterMs };
  throw new StatusError({ code: "UNAVAILABLE", reason, message, cause: error, ...pause });
}

function unknownRegion(region: string): StatusError {
  return new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "PLACE_UNKNOWN",
    message: `The region ${region} of Lambda is not among lambda.regions.`,
  });
}
