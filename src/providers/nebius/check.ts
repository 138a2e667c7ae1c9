/** What `slipway doctor` says of a region. Reads only. */
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { RegionFinding } from "../kubernetes/index.ts";
import type { Available } from "./market.ts";
import type { NebiusState } from "./state.ts";

type Told = Omit<RegionFinding, "check">;

/** Later checks are left out where an earlier one shows that they can say nothing. */
export async function checkRegion(ctx: BaseCtx, state: NebiusState): Promise<readonly RegionFinding[]> {
  const { region } = state.options;
  const findings: RegionFinding[] = [];
  const look = async (what: string, check: () => Promise<Told>) => {
    const told = await check().catch(
      (error: unknown): Told => ({ verdict: "problem", message: StatusError.from(error).message }),
    );
    findings.push({ check: `${region}: ${what}`, ...told });
    return told.verdict !== "problem";
  };
  if (!(await look("credentials", () => credentials(ctx, state)))) return findings;
  if (!(await look("managed cluster", () => cluster(ctx, state)))) return findings;
  await look("machines", () => machines(ctx, state));
  await look("node groups", () => groups(ctx, state));
  return [...findings, ...(await state.kube.check(ctx))];
}

async function credentials(ctx: BaseCtx, { api }: NebiusState): Promise<Told> {
  await api.token(ctx);
  return { verdict: "ok", message: "Nebius takes the service account's key" };
}

async function cluster(ctx: BaseCtx, { api, options }: NebiusState): Promise<Told> {
  const { running, version, publicEndpoint, privateEndpoint } = await api.cluster(ctx);
  if (!running) return { verdict: "problem", message: `${options.config.clusterId} is not running` };
  const { endpoint } = options.config;
  const address = endpoint === "public" ? publicEndpoint : privateEndpoint;
  if (address === "" && options.kubernetes.kubeconfig === undefined) {
    return {
      verdict: "problem",
      message: `the cluster has no ${endpoint} endpoint. Give it one, or set nebius.endpoint`,
    };
  }
  return { verdict: "ok", message: `${options.config.clusterId} runs ${version}` };
}

async function machines(ctx: BaseCtx, { market, options, kinds }: NebiusState): Promise<Told> {
  if (kinds.length === 0) {
    return {
      verdict: "problem",
      message: `no GPU type of ${options.region} is known. Name them in nebius.gpus`,
    };
  }
  const found = await market(ctx);
  const lacking = found.flatMap(lacks);
  if (lacking.length > 0) return { verdict: "problem", message: lacking.join("; ") };
  const lines = found.map(({ kind, sizes, quota }) => {
    const counts = sizes.map((size) => size.gpuCount).join(" or ");
    const allowed = quota ? `${quota.used} of ${quota.max} used` : "quota unknown";
    return `${kind.gpuType}: ${counts} GPUs a machine, ${allowed}`;
  });
  const short = found.some(
    ({ quota, sizes }) => !quota || quota.max - quota.used < (sizes[0]?.gpuCount ?? 1),
  );
  return { verdict: short ? "warning" : "ok", message: lines.join("; ") };
}

function lacks({ kind, sizes, platform }: Available): readonly string[] {
  if (platform === undefined)
    return [`the project has no platform ${kind.platform}: set nebius.gpus.${kind.gpuType}.platform`];
  const missing = kind.sizes.filter((size) => !sizes.includes(size)).map((size) => size.preset);
  if (missing.length === 0) return [];
  return [`${kind.platform} has no ${missing.join(", ")}: set nebius.gpus.${kind.gpuType}.presets`];
}

async function groups(ctx: BaseCtx, { api }: NebiusState): Promise<Told> {
  const found = await api.groups(ctx);
  return { verdict: "ok", message: `can be listed; the cluster has ${found.length}` };
}
