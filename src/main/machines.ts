/** Weights, engines and drivers of this installation, from its configuration. */
import { join } from "node:path";
import { createGuardedClient, type GuardedClient } from "../base/guarded-client.ts";
import type { Steps } from "../base/steps.ts";
import type { Engine } from "../engines/engine.ts";
import { llamaCpp, tinyGguf } from "../engines/llama-cpp/index.ts";
import { failureOf, vllm } from "../engines/vllm/index.ts";
import { type LocalDriver, localDriver } from "../providers/local/index.ts";
import { createWeights, type Weights } from "../weights/index.ts";
import type { Config } from "./config.ts";
import { programPath } from "./paths.ts";

export interface Machines {
  readonly weights: Weights;
  readonly engines: readonly Engine[];
  readonly local: LocalDriver;
  close(): Promise<void>;
}

export function machinesOf(config: Config, version: string, steps: Steps): Machines {
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
  return {
    weights,
    engines: [llamaCpp, vllm],
    local,
    async close() {
      await local.close();
      await client.close();
    },
  };
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
