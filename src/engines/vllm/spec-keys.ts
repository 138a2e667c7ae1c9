/** The modelSpec keys of the vLLM engine. Everything that reaches its command line is one of these or our own. */
import type { SpecKey } from "../engine.ts";
import { REASONING_PARSERS, TOOL_PARSERS } from "./families.ts";

const AUTO = "auto";
const NONE = "none";

/** Ranks for which vLLM has kernels. */
export const LORA_RANKS: readonly number[] = [1, 8, 16, 32, 64, 128, 256, 320, 512];

function key(name: string, type: SpecKey["type"], description: string, rest: Partial<SpecKey> = {}): SpecKey {
  return { name, type, description, mutable: true, ...rest };
}

export const specKeys: readonly SpecKey[] = [
  key(
    "contextTokens",
    "int",
    "Longest prompt and answer together, in tokens. Default: the model's own, or what fits.",
    { min: 256, max: 16_777_216 },
  ),
  key("sequencesMax", "int", "Requests that run at the same time; further ones wait. Default: 256.", {
    min: 1,
    max: 4_096,
  }),
  key(
    "batchedTokens",
    "int",
    "Tokens of one step. More reads long prompts faster, less makes answers steadier. Default: 8192.",
    { min: 256, max: 131_072 },
  ),
  key("dtype", "string", "Type of unquantized tensors. Default: auto, the weights' own.", {
    oneOf: [AUTO, "bfloat16", "float16"],
  }),
  key(
    "quantization",
    "string",
    "How the weights are quantized. Default: auto, as config.json says. fp8 also quantizes 16-bit weights while they load.",
    { oneOf: [AUTO, "fp8", "awq", "gptq", "compressed-tensors", "mxfp4", "modelopt"] },
  ),
  key(
    "kvCacheDtype",
    "string",
    "Type of keys and values. fp8 halves the cache. Default: auto, as the weights.",
    {
      oneOf: [AUTO, "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2"],
    },
  ),
  key("gpuMemoryUtilization", "number", "Share of each GPU's memory that the engine takes. Default: 0.92.", {
    min: 0.1,
    max: 0.98,
  }),
  key(
    "tensorParallel",
    "int",
    "GPUs that share each layer; divides the attention heads. Default: as many as can, within a node.",
    { min: 1, max: 64 },
  ),
  key(
    "pipelineParallel",
    "int",
    "Groups of GPUs that have the layers one after another. Default: the rest.",
    {
      min: 1,
      max: 64,
    },
  ),
  key(
    "dataParallel",
    "int",
    "Copies of the attention part that share the experts; for mixture-of-experts models. Default: 1.",
    { min: 1, max: 64 },
  ),
  key(
    "expertParallel",
    "boolean",
    "Whole experts are dealt out to GPUs, not slices of each. Default: on with dataParallel.",
  ),
  key(
    "kvOffloadBackend",
    "string",
    "Who keeps the cache in main memory, with cpuOffloadingEnabled. Default: lmcache.",
    { oneOf: ["lmcache", "native"] },
  ),
  key(
    "kvOffloadGiB",
    "int",
    "Main memory of the replica for that. Default: half of what a node has, for each node.",
    { min: 1, max: 65_536 },
  ),
  key(
    "loraModules",
    "strings",
    "Adapters that are served beside the model: name=folder, the folder inside the adapters' directory.",
  ),
  key("loraRankMax", "int", `Largest rank of an adapter: ${LORA_RANKS.join(", ")}. Default: 16.`, {
    min: 1,
    max: 512,
  }),
  key("toolParser", "string", "Reads tool calls out of answers. Default: auto, by the model's family.", {
    oneOf: [AUTO, NONE, ...TOOL_PARSERS],
  }),
  key("reasoningParser", "string", "Takes thoughts out of answers. Default: auto, by the model's family.", {
    oneOf: [AUTO, NONE, ...REASONING_PARSERS],
  }),
  key(
    "thinking",
    "boolean",
    "Whether the model thinks where a request does not say. Default: the template's own.",
  ),
  key("enforceEager", "boolean", "No CUDA graphs: starts sooner, answers slower. Default: off."),
  key(
    "kvEvents",
    "boolean",
    "Tells the router which blocks are cached, tokens included: only inside a closed network. Default: off.",
  ),
];
