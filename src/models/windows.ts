/** What a place costs now, and the window of GPU time that one slot of a model needs there. */
import type { DbCtx } from "../db/db.ts";
import type { Model, Place } from "./model.ts";
import type { GpuPrice, ModelsDeps, WindowInput } from "./ports.ts";

export function priceOf(
  ctx: DbCtx,
  deps: Pick<ModelsDeps, "billing">,
  { place }: Pick<Model, "place">,
): Promise<GpuPrice | undefined> {
  const { provider, region, gpuType } = place;
  return deps.billing.gpuPrice(ctx, { provider, region, gpuType, at: ctx.clock.now() });
}

export function windowOf(
  deps: Pick<ModelsDeps, "limits">,
  model: Model,
  slot: number,
  price: GpuPrice,
  now: Date,
  place: Place = model.place,
): WindowInput {
  const { id: modelId, deploymentId, userId } = model;
  const { windowMs } = deps.limits;
  const { provider, region, gpuType, gpuCount } = place;
  const where = { provider, region, gpuType };
  return { modelId, deploymentId, userId, slot, price, gpuCount, place: where, windowMs, now };
}
