/** What `slipway doctor` says of a region. Reads only. */
import { z } from "zod";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import { offers } from "./offers.ts";
import { RIGHTS } from "./rbac.ts";
import { metaSchema } from "./seen.ts";
import type { DriverState } from "./state.ts";

export interface RegionFinding {
  readonly check: string;
  readonly verdict: "ok" | "warning" | "problem";
  readonly message: string;
}

type Told = Omit<RegionFinding, "check">;

/** Later checks are left out where an earlier one shows that they can say nothing. */
export async function checkRegion(ctx: BaseCtx, state: DriverState): Promise<readonly RegionFinding[]> {
  const { region } = state.options;
  const findings: RegionFinding[] = [];
  const look = async (what: string, check: () => Promise<Told>) => {
    const told = await check().catch(problemOf);
    findings.push({ check: `${region}: ${what}`, ...told });
    return told.verdict !== "problem";
  };
  if (!(await look("cluster", () => reached(ctx, state)))) return findings;
  await look("rights", () => rights(ctx, state));
  // Made for each replica, they are not there yet.
  if (!state.options.ownNodes) await look("nodes", () => nodes(ctx, state));
  await look("weights", () => storage(ctx, state));
  return findings;
}

function problemOf(error: unknown): Told {
  return { verdict: "problem", message: StatusError.from(error).message };
}

async function reached(ctx: BaseCtx, { api, options }: DriverState): Promise<Told> {
  await api.has(ctx, "apps");
  return { verdict: "ok", message: `answers; replicas go to the namespace ${options.config.namespace}` };
}

async function rights(ctx: BaseCtx, { api, options }: DriverState): Promise<Told> {
  const missing: string[] = [];
  const unneeded: string[] = [];
  for (const right of RIGHTS) {
    if (right.group !== "" && !(await api.has(ctx, right.group))) continue;
    const [resource = "", subresource] = right.resource.split("/");
    for (const verb of right.verbs) {
      const place = right.everywhere ? {} : { namespace: options.config.namespace };
      const attributes = { ...place, verb, group: right.group, resource };
      const asked = subresource === undefined ? attributes : { ...attributes, subresource };
      if (await api.allowed(ctx, asked)) continue;
      (right.optional ? unneeded : missing).push(
        `${verb} ${right.resource}${right.everywhere ? " everywhere" : ""}`,
      );
    }
  }
  if (missing.length > 0) {
    const what = missing.join(", ");
    return {
      verdict: "problem",
      message: `not allowed: ${what}. Apply what "slipway kubernetes rbac" prints`,
    };
  }
  if (unneeded.length === 0) return { verdict: "ok", message: "everything that is needed is allowed" };
  return {
    verdict: "warning",
    message: `works, but what is free is only guessed without: ${unneeded.join(", ")}`,
  };
}

async function nodes(ctx: BaseCtx, state: DriverState): Promise<Told> {
  const found = await offers(ctx, state);
  const { gpus, cpu } = state.options.config;
  const absent = Object.keys(gpus).filter((type) => !found.some((one) => one.gpuType === type));
  if (absent.length > 0) {
    const message = `no ready node has the labels and the resource of kubernetes.gpus.${absent.join(", kubernetes.gpus.")}`;
    return { verdict: "problem", message };
  }
  if (cpu && !found.some((one) => one.gpuType === "UNSPECIFIED")) {
    return { verdict: "problem", message: "no ready node has the labels of kubernetes.cpu" };
  }
  const unsized = found.find((one) => one.gpuType !== "UNSPECIFIED" && one.gpuMemoryBytes === 0);
  if (unsized) {
    const message = `the nodes don't tell how much memory ${unsized.gpuType} has. Set kubernetes.gpus.${unsized.gpuType}.memoryGib`;
    return { verdict: "problem", message };
  }
  const lines = found.map((one) =>
    one.gpuType === "UNSPECIFIED"
      ? `CPUs on ${one.nodeIds.length} nodes`
      : `${one.gpuType}: ${one.gpuCountMax} free on one node, ${one.nodeIds.length} nodes`,
  );
  return {
    verdict: lines.length > 0 ? "ok" : "warning",
    message: lines.join("; ") || "no kind of hardware is configured",
  };
}

const classSchema = metaSchema.extend({ provisioner: z.string() });

async function storage(ctx: BaseCtx, { api, options }: DriverState): Promise<Told> {
  const { weights } = options.config;
  if (weights.kind !== "volume")
    return { verdict: "ok", message: `${weights.kind}: looked at by the pods themselves` };
  const classes = await api
    .list(ctx, { group: "storage.k8s.io", resource: "storageclasses", schema: classSchema, everywhere: true })
    .catch(() => undefined);
  if (!classes)
    return {
      verdict: "warning",
      message: "storage classes may not be listed, so kubernetes.weights is not checked",
    };
  const wanted = classes.find((one) =>
    weights.storageClass === undefined
      ? one.metadata.annotations[DEFAULT_CLASS] === "true"
      : one.metadata.name === weights.storageClass,
  );
  if (wanted) return { verdict: "ok", message: `volumes of the class ${wanted.metadata.name}` };
  const known = classes.map((one) => one.metadata.name).join(", ") || "none";
  const message = `kubernetes.weights.storageClass: the cluster has no ${weights.storageClass ?? "default"} class. It has ${known}`;
  return { verdict: "problem", message };
}

const DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class";
