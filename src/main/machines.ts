/** Weights, engines and drivers of this installation, from its configuration. */
import { join } from "node:path";
import { createGuardedClient, type GuardedClient } from "../base/guarded-client.ts";
import type { Steps } from "../base/steps.ts";
import type { Engine } from "../engines/engine.ts";
import { llamaCpp, tinyGguf } from "../engines/llama-cpp/index.ts";
import { failureOf, vllm } from "../engines/vllm/index.ts";
import type { Driver } from "../providers/driver.ts";
import { type KubernetesDriver, kubernetesDriver } from "../providers/kubernetes/index.ts";
import { type LaunchGate, lambdaDriver } from "../providers/lambda/index.ts";
import { type LocalDriver, localDriver } from "../providers/local/index.ts";
import { nebiusDriver } from "../providers/nebius/index.ts";
import { createWeights, type Weights } from "../weights/index.ts";
import type { Config } from "./config.ts";
import { programPath } from "./paths.ts";
import type { ProvidersConfig, RegionConfig } from "./providers-config.ts";

export interface Machines {
  readonly weights: Weights;
  readonly engines: readonly Engine[];
  readonly local: LocalDriver;
  /** The local one first. */
  readonly drivers: readonly Driver[];
  close(): Promise<void>;
}

/** What is needed to rent machines of one's own: the same in every process of the installation. */
export interface Renting {
  readonly machineKey: Buffer;
  /** One launcher an account. */
  gate(account: string): LaunchGate;
}

export function machinesOf(
  config: Config,
  providers: ProvidersConfig,
  version: string,
  steps: Steps,
  renting: Renting,
): Machines {
  const client = hubClient(config, version);
  const weights = createWeights({
    cacheDir: join(config.SLIPWAY_HOME, "weights"),
    cacheMaxBytes: config.SLIPWAY_WEIGHTS_CACHE_GIB * 2 ** 30,
    hubEndpoint: config.HF_ENDPOINT,
    client,
    allowedDirs: config.SLIPWAY_WEIGHTS_DIRS,
    builtin: (name, { seed }) => (name === "tiny" ? tinyGguf({ seed }) : undefined),
  });
  const local = localDriver({
    home: config.SLIPWAY_HOME,
    weights,
    node: process.execPath,
    engineMain: programPath("llama-server/main"),
    regions: [config.SLIPWAY_REGION],
    uid: config.SLIPWAY_ENGINE_UID,
    gid: config.SLIPWAY_ENGINE_UID,
    cpuMemoryBytes: config.SLIPWAY_REPLICA_MEMORY_GIB * 2 ** 30,
    programs: { vllm: { engine: vllm, words: wordsOf(config.SLIPWAY_VLLM_COMMAND), failureOf } },
    steps,
  });
  const places: RegionDriver[] = providers.regions.map((region) => clusterOf(config, region, steps));
  if (providers.lambda) {
    const { machineKey, gate } = renting;
    const common = { ...commonOf(config), config: providers.lambda, vllm: CONTAINERS.vllm, steps };
    places.push(lambdaDriver({ ...common, machineKey, gate: gate("lambda") }));
  }
  return {
    weights,
    engines: [llamaCpp, vllm],
    local,
    drivers: [local, ...places],
    async close() {
      await local.close();
      for (const place of places) await place.close();
      await client.close();
    },
  };
}

const PROVIDERS = { onprem: "ONPREM", nebius: "NEBIUS", yotta: "YOTTA" } as const;

/** Engines that are programs of their own, as containers. */
const CONTAINERS = { vllm: { engine: vllm, failureOf } } as const;

type PlaceConfig = Pick<Config, "SLIPWAY_DRAIN_MAX_SECONDS" | "HF_ENDPOINT">;

function commonOf(config: PlaceConfig) {
  return { drainMaxSeconds: config.SLIPWAY_DRAIN_MAX_SECONDS, hubEndpoint: config.HF_ENDPOINT };
}

/** A driver of the providers' file: it can say what is wrong with its place, and holds connections. */
export type RegionDriver = Driver & Pick<KubernetesDriver, "check" | "close">;

/** The driver of a region that is a Kubernetes cluster. Nothing is asked of the cluster yet. */
export function clusterOf(
  config: PlaceConfig,
  { provider, region, kubernetes, nebius }: RegionConfig,
  steps?: Steps,
): RegionDriver {
  const common = { ...commonOf(config), region, engines: CONTAINERS, ...(steps ? { steps } : {}) };
  if (nebius) return nebiusDriver({ ...common, config: nebius, kubernetes });
  return kubernetesDriver({ ...common, provider: PROVIDERS[provider], config: kubernetes });
}

function wordsOf(command: string): readonly string[] {
  return command.split(/\s+/).filter((word) => word !== "");
}

/** The operator chose the hub, so its host is allowed wherever it lies; what it redirects to must be public or listed. */
function hubClient(config: Config, version: string): GuardedClient {
  const hub = new URL(config.HF_ENDPOINT).host;
  return createGuardedClient({
    allowed: [hub, ...config.SLIPWAY_HUB_HOSTS],
    userAgent: `slipway/${version}`,
  });
}
