import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec } from "../driver.ts";
import { KILL_AT, MADE_AT } from "./labels.ts";
import { manifestsOf } from "./manifests.ts";
import { metaSchema } from "./seen.ts";
import type { DriverState } from "./state.ts";

/**
 * Makes the replica exist. Its Secret first, by which every list finds it and which owns all else, so that the cluster itself takes
 * everything away with it. Names are the replica's, and the API server keeps them unique: twice is once. A replica that is
 * going stays so, and one that was whole once is not made again: what is missing of it was taken away, which a look tells.
 */
export async function apply(
  ctx: BaseCtx,
  { options, api, steps }: DriverState,
  spec: ReplicaSpec,
): Promise<void> {
  if (spec.region !== options.region) throw unknownRegion(spec.region);
  if (spec.gpuType !== "UNSPECIFIED" && !options.config.gpus[spec.gpuType])
    throw noSuchGpu(options.region, spec);
  const { secret, rest } = manifestsOf(options, spec);
  const before = await api.meta(ctx, "", "secrets", spec.name);
  const told = before === undefined ? {} : metaSchema.parse(before).metadata.annotations;
  if (KILL_AT in told || MADE_AT in told) return;
  const { uid } = metaSchema.parse(await api.apply(ctx, secret)).metadata;
  steps.reach("kubernetes.recorded");
  const ownerReferences = [{ apiVersion: "v1", kind: "Secret", name: spec.name, uid }];
  for (const object of rest) {
    const { metadata, ...body } = object.body;
    await api.apply(ctx, { ...object, body: { ...body, metadata: { ...metadata, ownerReferences } } });
  }
  steps.reach("kubernetes.created");
  await api.annotate(ctx, "secrets", spec.name, { [MADE_AT]: ctx.clock.now().toISOString() });
}

function unknownRegion(region: string): StatusError {
  return new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "PLACE_UNKNOWN",
    message: `This cluster is no region named ${region}.`,
  });
}

function noSuchGpu(region: string, { gpuType }: ReplicaSpec): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "GPU_TYPE_UNAVAILABLE",
    message: `Region ${region} has no GPUs of type ${gpuType}. Name their nodes in kubernetes.gpus.`,
  });
}
