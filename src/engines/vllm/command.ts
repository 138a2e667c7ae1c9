/** The command line, environment, files, ports and probes of a vLLM server. Pure: what only the driver knows comes as the site. */
import { posix } from "node:path";
import type {
  EngineCommand,
  EngineFile,
  EnginePlan,
  EnginePort,
  EngineProbes,
  EngineSite,
} from "../engine.ts";
import { cacheEnv, cacheFlags } from "./kv-flags.ts";
import { loggingConfig } from "./logging.ts";
import { optionsOf, type VllmOptions } from "./options.ts";

/** Where parts of one replica meet. */
const LEADER_PORT = 29_501;
/** Where a router hears of cached blocks. */
export const KV_EVENTS_PORT = 5_557;
/** The entry point as a module: the `vllm` script is missing in some builds, this never is. */
const MODULE = "vllm.entrypoints.openai.api_server";
/** What the script runs. */
const SCRIPT_MODULE = "vllm.entrypoints.cli.main";

export function command(plan: EnginePlan, site: EngineSite): EngineCommand {
  const options = optionsOf(plan);
  const follows = (site.node?.rank ?? 0) > 0;
  return {
    argv: [...entry(options, site), ...serverFlags(plan, options, site), ...modelFlags(plan, options, site)],
    env: { ...environment(site), ...cacheEnv(options, site), ...cpuEnv(options) },
    files: filesOf(site),
    ports: portsOf(options, site),
    probes: follows ? undefined : probesOf(options, site),
  };
}

/** `vllm serve PATH`, or a Python with the module. The parts of several nodes need `serve`, which alone knows `--headless`. */
function entry(options: VllmOptions, { executable, command: words, modelPath }: EngineSite): string[] {
  if (words) return [...words, ...(words.at(-1) === "serve" ? [modelPath] : ["--model", modelPath])];
  if (posix.basename(executable) === "vllm") return [executable, "serve", modelPath];
  if (options.nodes > 1) return [executable, "-m", SCRIPT_MODULE, "serve", modelPath];
  return [executable, "-m", MODULE, "--model", modelPath];
}

function serverFlags(plan: EnginePlan, options: VllmOptions, site: EngineSite): string[] {
  return [
    // The key comes with this file: not in the list of processes, and not in an environment that children inherit.
    ...["--config", keyFile(site)],
    ...["--host", site.host, "--port", String(site.port)],
    ...["--served-model-name", ...site.servedNames],
    // Bills rest on it: without it an answer does not tell its cached tokens.
    "--enable-prompt-tokens-details",
    // Prompts never in logs; if some part did log a request, then without its text.
    ...["--no-enable-log-requests", "--max-log-len", "0", "--disable-uvicorn-access-log"],
    "--disable-fastapi-docs",
    ...["--shutdown-timeout", String(site.drainSeconds)],
    ...nodeFlags(options, site),
    ...["--max-num-seqs", String(plan.sequencesMax)],
  ];
}

function nodeFlags(options: VllmOptions, { node }: EngineSite): string[] {
  if (options.nodes <= 1 || !node) return [];
  const place = ["--nnodes", String(options.nodes), "--node-rank", String(node.rank)];
  const leader = ["--master-addr", node.leader, "--master-port", String(LEADER_PORT)];
  return [...place, ...leader, ...(node.rank > 0 ? ["--headless"] : [])];
}

function modelFlags(plan: EnginePlan, options: VllmOptions, site: EngineSite): string[] {
  return [
    ...["--max-model-len", String(plan.contextTokens)],
    ...["--max-num-batched-tokens", String(options.batchedTokens)],
    ...["--dtype", options.dtype],
    ...(options.quantization === "" ? [] : ["--quantization", options.quantization]),
    ...(options.device === "cuda" ? gpuFlags(options) : []),
    ...(options.enforceEager ? ["--enforce-eager"] : []),
    ...cacheFlags(options, site),
    ...loraFlags(options, site),
    ...parserFlags(options, site),
  ];
}

function gpuFlags(options: VllmOptions): string[] {
  const { tensorParallel, pipelineParallel, dataParallel, expertParallel } = options;
  return [
    ...["--gpu-memory-utilization", String(options.gpuMemoryUtilization)],
    ...["--tensor-parallel-size", String(tensorParallel)],
    ...["--pipeline-parallel-size", String(pipelineParallel)],
    ...(dataParallel > 1 ? ["--data-parallel-size", String(dataParallel)] : []),
    ...(expertParallel ? ["--enable-expert-parallel"] : []),
    // Without it vLLM looks for a Ray cluster as soon as one node is not enough.
    ...(tensorParallel * pipelineParallel > 1 ? ["--distributed-executor-backend", "mp"] : []),
  ];
}

function loraFlags(options: VllmOptions, { adaptersDir }: EngineSite): string[] {
  if (options.loraModules.length === 0) return [];
  const modules = options.loraModules.map((one) => {
    const [name = "", folder = ""] = one.split("=");
    return `${name}=${posix.join(adaptersDir, folder)}`;
  });
  const slots = String(modules.length);
  const sizes = [
    "--max-loras",
    slots,
    "--max-cpu-loras",
    slots,
    "--max-lora-rank",
    String(options.loraRankMax),
  ];
  return ["--enable-lora", ...sizes, "--lora-modules", ...modules];
}

function parserFlags(options: VllmOptions, { templatesDir }: EngineSite): string[] {
  const { toolParser, reasoningParser, toolTemplate, thinking } = options;
  const template = toolTemplate !== "" && templatesDir !== "" ? posix.join(templatesDir, toolTemplate) : "";
  return [
    ...(toolParser === "" ? [] : ["--enable-auto-tool-choice", "--tool-call-parser", toolParser]),
    ...(template === "" ? [] : ["--chat-template", template]),
    ...(reasoningParser === "" ? [] : ["--reasoning-parser", reasoningParser]),
    ...(thinking === ""
      ? []
      : ["--default-chat-template-kwargs", JSON.stringify({ enable_thinking: thinking === "on" })]),
  ];
}

function environment(site: EngineSite): Record<string, string> {
  return {
    // The weights are on disk; what is not there is an error, not a download without our checks.
    HF_HUB_OFFLINE: "1",
    TRANSFORMERS_OFFLINE: "1",
    VLLM_NO_USAGE_STATS: "1",
    DO_NOT_TRACK: "1",
    // DEBUG would show prompts.
    VLLM_LOGGING_LEVEL: "INFO",
    VLLM_CONFIGURE_LOGGING: "1",
    VLLM_LOGGING_CONFIG_PATH: loggingFile(site),
    // Its routes reset caches and put the engine to sleep.
    VLLM_SERVER_DEV_MODE: "0",
    VLLM_ALLOW_RUNTIME_LORA_UPDATING: "0",
  };
}

function cpuEnv(options: VllmOptions): Record<string, string> {
  if (options.device !== "cpu") return {};
  return {
    VLLM_CPU_KVCACHE_SPACE: String(options.cpuKvGiB),
    // Binding to cores asks for rights that containers lack.
    VLLM_CPU_OMP_THREADS_BIND: "nobind",
    OMP_NUM_THREADS: String(options.cpuThreads),
  };
}

function filesOf(site: EngineSite): EngineFile[] {
  // JSON is YAML, and needs no quoting rules of our own.
  const key = JSON.stringify({ "api-key": site.engineKey });
  return [
    { path: keyFile(site), text: key, secret: true },
    { path: loggingFile(site), text: JSON.stringify(loggingConfig()), secret: false },
  ];
}

function keyFile({ dir }: EngineSite): string {
  return posix.join(dir, "vllm-key.yaml");
}

function loggingFile({ dir }: EngineSite): string {
  return posix.join(dir, "vllm-logging.json");
}

function portsOf(options: VllmOptions, site: EngineSite): EnginePort[] {
  const ports: EnginePort[] = [{ name: "http", port: site.port, from: "gateway" }];
  if (options.nodes > 1) ports.push({ name: "leader", port: LEADER_PORT, from: "replica" });
  if (options.kvEvents) ports.push({ name: "kv-events", port: KV_EVENTS_PORT, from: "gateway" });
  return ports;
}

const PROBE_SECONDS = 10;
/** Compiling and capturing graphs of a large model, with nothing cached. */
const COMPILE_SECONDS = 900;
/** A slow network disk. 600 GB then have 50 minutes, where a fixed bound of ten would kill them over and over. */
const READ_BYTES_PER_SECOND = 200e6;

function probesOf(options: VllmOptions, site: EngineSite): EngineProbes {
  const seconds = COMPILE_SECONDS + options.weightsBytes / READ_BYTES_PER_SECOND;
  return {
    path: "/health",
    port: site.port,
    periodSeconds: PROBE_SECONDS,
    startupFailures: Math.ceil(seconds / PROBE_SECONDS),
    livenessFailures: 3,
    readinessFailures: 3,
  };
}
