/** Nodes made for each replica by Nebius' Managed Kubernetes, and the Kubernetes driver on them. One driver is one region. */
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { Driver } from "../driver.ts";
import type { KubernetesConfig } from "../kubernetes/config.ts";
import {
  type Credentials,
  type KubernetesDriver,
  kubernetesDriver,
  type RegionFinding,
} from "../kubernetes/index.ts";
import { apply } from "./apply.ts";
import { checkRegion } from "./check.ts";
import { list } from "./list.ts";
import { ownNodes, taintOf } from "./node-group.ts";
import { observe } from "./observe.ts";
import { offers } from "./offers.ts";
import type { NebiusDriverOptions } from "./options.ts";
import { type Kind, kindsOf } from "./presets.ts";
import { remove } from "./remove.ts";
import { type NebiusApi, nebiusApi } from "./rpc.ts";
import { stateOf } from "./state.ts";

export type { NebiusDriverOptions } from "./options.ts";

export interface NebiusDriver extends Driver {
  /** What an operator must know of the region: credentials, cluster, machines and quotas, then all of the cluster itself. */
  check(ctx: BaseCtx): Promise<readonly RegionFinding[]>;
  close(): Promise<void>;
}

/** On a new node, the engine's image of some ten gigabytes. */
const IMAGE_MINUTES_MAX = 15;

export function nebiusDriver(options: NebiusDriverOptions): NebiusDriver {
  const api = nebiusApi(options.region, options.config);
  const state = stateOf(options, api, clusterDriver(options, api));
  const { region } = options;
  return {
    provider: "NEBIUS",
    name: `nebius/${region}`,
    regions: [region],
    // The cloud keeps names unique in a cluster, and takes calls with one key for one call.
    createIsIdempotent: true,
    provisioningMaxMs: (options.config.nodesMinutesMax + IMAGE_MINUTES_MAX) * 60_000,
    offers: (ctx) => offers(ctx, state),
    apply: (ctx, spec) => apply(ctx, state, spec),
    observe: (ctx, names) => observe(ctx, state, names),
    remove: (ctx, name, how) => remove(ctx, state, name, how),
    list: (ctx, installationId) => list(ctx, state, installationId),
    logs: (ctx, name, how) => state.kube.logs(ctx, name, how),
    check: (ctx) => checkRegion(ctx, state),
    async close() {
      api.close();
      await state.kube.close();
    },
  };
}

function clusterDriver(options: NebiusDriverOptions, api: NebiusApi): KubernetesDriver {
  const { region, kubernetes, config, engines, drainMaxSeconds, hubEndpoint, steps } = options;
  const kinds = kindsOf(region, config);
  return kubernetesDriver({
    provider: "NEBIUS",
    region,
    config: { ...kubernetes, gpus: Object.fromEntries(kinds.map(gpuOf)) },
    engines,
    drainMaxSeconds,
    hubEndpoint,
    ...(steps ? { steps } : {}),
    ...(kubernetes.kubeconfig === undefined ? { credentials: (ctx) => asAccount(ctx, options, api) } : {}),
    ownNodes: ({ name, gpuType }) =>
      gpuType === "UNSPECIFIED" ? undefined : { labels: ownNodes(name), taint: taintOf(name) },
  });
}

function gpuOf({ gpuType, gpuMemoryMib }: Kind): [string, NonNullable<KubernetesConfig["gpus"]["H100"]>] {
  return [gpuType, { resource: "nvidia.com/gpu", nodeLabels: {}, memoryGib: gpuMemoryMib / 1_024 }];
}

/** The cluster as the cloud describes it, and us as the service account: its token needs no other program. */
async function asAccount(
  ctx: BaseCtx,
  { config, region }: NebiusDriverOptions,
  api: NebiusApi,
): Promise<Credentials> {
  const { publicEndpoint, privateEndpoint, ca } = await api.cluster(ctx);
  const address = config.endpoint === "public" ? publicEndpoint : privateEndpoint;
  if (address === "" || ca === "") {
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "CONFIG_INVALID",
      message: `The cluster of region ${region} has no ${config.endpoint} endpoint. Give it one, set nebius.endpoint, or name a kubeconfig.`,
    });
  }
  const server = /^https:\/\//.test(address) ? address : `https://${address}`;
  return { server: server.replace(/\/+$/, ""), ca, client: undefined, token: (now) => api.token(now) };
}
