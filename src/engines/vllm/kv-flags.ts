/** The KV cache's flags and environment: prefix caching, its types, and the copy in main memory. */
import { posix } from "node:path";
import type { EngineSite } from "../engine.ts";
import type { VllmOptions } from "./options.ts";

/** vLLM on CPUs takes multiples of 32 only. */
const CPU_BLOCK_TOKENS = 32;
/** LMCache keeps and looks up this many tokens as one. */
const CHUNK_TOKENS = 256;

export function cacheFlags(options: VllmOptions, site: EngineSite): string[] {
  return [
    options.prefixCache ? "--enable-prefix-caching" : "--no-enable-prefix-caching",
    ...(options.kvCacheDtype === "auto" ? [] : ["--kv-cache-dtype", options.kvCacheDtype]),
    ...(options.device === "cpu" ? ["--block-size", String(CPU_BLOCK_TOKENS)] : []),
    ...offloadFlags(options),
    ...(options.kvEvents ? ["--kv-events-config", JSON.stringify(events(site))] : []),
  ];
}

function offloadFlags(options: VllmOptions): string[] {
  if (options.offload === "native") {
    return ["--kv-offloading-backend", "native", "--kv-offloading-size", String(options.offloadGiB)];
  }
  if (options.offload === "") return [];
  const connector = { kv_connector: "LMCacheConnectorV1", kv_role: "kv_both" };
  return ["--kv-transfer-config", JSON.stringify(connector)];
}

export function cacheEnv(options: VllmOptions, site: EngineSite): Record<string, string> {
  if (options.offload !== "lmcache") return {};
  // LMCache counts for each process, of which every GPU has one.
  const ranks = options.tensorParallel * options.pipelineParallel * options.dataParallel;
  return {
    LMCACHE_CHUNK_SIZE: String(CHUNK_TOKENS),
    LMCACHE_LOCAL_CPU: "True",
    LMCACHE_MAX_LOCAL_CPU_SIZE: (Math.floor((options.offloadGiB / ranks) * 100) / 100).toFixed(2),
    // The names of blocks come from hashes, which Python otherwise makes different in each process.
    PYTHONHASHSEED: "0",
    ...storageEnv(site),
  };
}

/**
 * What leaves main memory is found again in files, also by the next engine. LMCache's own disk tier would forget at its end
 * which files it has; its file system as a remote tier looks for them by name.
 */
function storageEnv({ storage }: EngineSite): Record<string, string> {
  if (!storage) return {};
  return {
    LMCACHE_REMOTE_URL: `fs://localhost:0${posix.join(storage.dir, "/")}`,
    LMCACHE_REMOTE_SERDE: "naive",
  };
}

/** vLLM connects to a concrete address and listens only at `*` and ipc, so who serves this machine alone gets a socket file. */
function events({ host, dir }: EngineSite) {
  const loopback = host === "localhost" || host === "::1" || host.startsWith("127.");
  const endpoint = loopback ? `ipc://${posix.join(dir, "kv-events.sock")}` : "tcp://*:5557";
  return { enable_kv_cache_events: true, publisher: "zmq", endpoint, topic: "kv-events" };
}
