/** What a line of vLLM's log says: how far the start is, what was measured, or why it failed. */
import type { Reason } from "../../base/status.ts";
import type { LogEvent } from "../engine.ts";

/** Longer lines are dumps of settings or of a prompt; their beginning decides, and nothing of the rest is shown. */
const LINE_LENGTH_MAX = 2_000;
const GIB = 2 ** 30;

/** Undefined for a line that says nothing about the start. */
export function readLog(line: string): LogEvent | undefined {
  const plain = line.slice(0, LINE_LENGTH_MAX).replace(COLOUR, "");
  return failureIn(plain) ?? measuredIn(plain) ?? progressIn(plain);
}

/**
 * The failure that a whole log tells: of several the first, since what follows is the end of the other processes, but a reason
 * that explains before one that only says that something failed.
 */
export function failureOf(lines: readonly string[]): (LogEvent & { kind: "failure" }) | undefined {
  let vague: (LogEvent & { kind: "failure" }) | undefined;
  for (const line of lines) {
    const event = readLog(line);
    if (event?.kind !== "failure") continue;
    if (event.reason !== "ENGINE_FAILED") return event;
    vague ??= event;
  }
  return vague;
}

const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g");

interface Failure {
  readonly pattern: RegExp;
  readonly reason: Reason;
  readonly message: (found: Readonly<Record<string, string>>) => string;
}

function failure(pattern: RegExp, reason: Reason, message: Failure["message"] | string): Failure {
  return { pattern, reason, message: typeof message === "string" ? () => message : message };
}

/** The first that matches counts. Messages are our own: what the engine printed may hold paths or keys. */
const FAILURES: readonly Failure[] = [
  // Memory.
  failure(
    /max seq len \((?<asked>\d+)\).*?(?<needed>[\d.]+) GiB KV cache is needed.*?memory \((?<has>[\d.]+) GiB\)(?:.*?maximum model length is (?<longest>\d+))?/,
    "MODEL_TOO_LARGE",
    ({ asked, needed, has, longest }) =>
      `A request of ${asked} tokens needs ${needed} GiB of KV cache, and the GPU has ${has} GiB for it.${longest ? ` At most ${longest} tokens fit: set contextTokens.` : " Set a smaller contextTokens."}`,
  ),
  failure(
    /max seq len \((?<asked>\d+)\) is larger than the maximum number of tokens that can be stored in KV cache \((?<longest>\d+)\)/,
    "MODEL_TOO_LARGE",
    ({ asked, longest }) =>
      `The KV cache holds ${longest} tokens, and the context was to be ${asked}. Set a smaller contextTokens.`,
  ),
  failure(
    /No available memory for the cache blocks/,
    "MODEL_TOO_LARGE",
    "The weights leave no memory for the KV cache. Use more GPUs, larger ones, or quantized weights.",
  ),
  failure(
    /Free memory on device.*?\((?<free>[\d.]+)\/(?<all>[\d.]+) GiB\) on startup is less than desired GPU memory utilization/,
    "CAPACITY_SHORT",
    ({ free, all }) => `Only ${free} of ${all} GiB of the GPU were free: another program uses it.`,
  ),
  failure(
    /Available memory on node \d+ \((?<free>[\d.]+)\/(?<all>[\d.]+) GiB\) on startup is less than desired CPU memory utilization/,
    "CAPACITY_SHORT",
    ({ free, all }) => `Only ${free} of ${all} GiB of main memory were free.`,
  ),
  failure(
    /(?:CUDA|HIP) out of memory|torch\.(?:cuda\.)?OutOfMemoryError|CUDA error: out of memory/,
    "MODEL_TOO_LARGE",
    "The GPU's memory ran out. Use more GPUs, larger ones, a smaller contextTokens or quantized weights.",
  ),
  failure(
    /DefaultCPUAllocator: (?:can't allocate|not enough) memory|^MemoryError|Cannot allocate memory/,
    "MODEL_TOO_LARGE",
    "The main memory ran out.",
  ),
  // Weights.
  failure(
    /Model architectures? \[?'?(?<name>\w+)'?.*? (?:are|is) not supported/,
    "WEIGHTS_UNSUPPORTED",
    ({ name }) => `This vLLM does not know the architecture ${name}. A newer vLLM may.`,
  ),
  failure(
    /model type [`'"]?(?<name>[\w-]+)[`'"]?,? but Transformers does not recognize this architecture/i,
    "WEIGHTS_UNSUPPORTED",
    ({ name }) => `This vLLM's Transformers do not know the model type ${name}. A newer one may.`,
  ),
  failure(
    /contains custom code which must be executed|trust_remote_code=True/,
    "WEIGHTS_UNSUPPORTED",
    "The repository brings code of its own, which is not run here. Use weights whose architecture vLLM has built in.",
  ),
  failure(
    /Unknown quantization method|quantization method .*? (?:is not supported|does not match)|Quantization method specified in the model config/i,
    "WEIGHTS_UNSUPPORTED",
    "The weights are quantized in a way that this vLLM or this GPU can't read, or another one was named.",
  ),
  failure(
    /Bfloat16 is only supported on GPUs with compute capability|Minimum capability: \d+\. Current capability/,
    "WEIGHTS_UNSUPPORTED",
    "The GPU is too old for this type of numbers. Set dtype to float16, or use a newer GPU.",
  ),
  failure(
    /GatedRepoError|Access to model .*? is restricted|You are trying to access a gated repo|403 Client Error/,
    "WEIGHTS_GATED",
    "The repository is gated, and the token has no access to it.",
  ),
  failure(
    /401 Client Error|Invalid (?:user token|credentials in Authorization header)/,
    "HUB_TOKEN_INVALID",
    "The hub refused the token.",
  ),
  failure(
    /RepositoryNotFoundError|is not a (?:local folder and is not a )?valid model identifier|Repo id must be in the form/,
    "WEIGHTS_NOT_FOUND",
    "There is no such model.",
  ),
  failure(
    /Cannot find any model weights|No such file or directory: .*?\.safetensors|does not appear to have a file named (?<file>[\w.-]+)|Can't load (?:the configuration|tokenizer)|EntryNotFoundError|LocalEntryNotFoundError/,
    "WEIGHTS_NOT_FOUND",
    ({ file }) => `The model lacks a file that the engine needs${file ? `: ${file}` : ""}.`,
  ),
  failure(
    /SafetensorError|InvalidHeaderDeserialization|MetadataIncompleteBuffer|HeaderTooLarge/,
    "WEIGHTS_CHECKSUM",
    "A weights file is damaged or was cut off.",
  ),
  failure(/No space left on device/, "DISK_FULL", "The disk is full."),
  // Settings.
  failure(
    /max_model_len \((?<asked>\d+)\) is greater than the derived max_model_len/,
    "SPEC_VALUE_INVALID",
    ({ asked }) => `The model was not trained for a context of ${asked} tokens. Set a smaller contextTokens.`,
  ),
  failure(
    /attention heads \((?<heads>\d+)\) must be divisible by tensor parallel size \((?<parts>\d+)\)/,
    "SPEC_VALUE_INVALID",
    ({ heads, parts }) => `${heads} attention heads can't be dealt out to ${parts} GPUs.`,
  ),
  failure(
    /LoRA rank (?<rank>\d+) is greater than max_lora_rank (?<most>\d+)/,
    "SPEC_VALUE_INVALID",
    ({ rank, most }) => `An adapter has rank ${rank}, and loraRankMax is ${most}.`,
  ),
  failure(
    /error: unrecognized arguments: (?<flag>--[\w-]+)/,
    "CONFIG_INVALID",
    ({ flag }) =>
      `This vLLM does not know the flag ${flag}. It is another version than this driver is made for.`,
  ),
  failure(
    /error: argument (?<flag>--?[\w-]+)[^:]*: (?:invalid|expected)/,
    "CONFIG_INVALID",
    ({ flag }) =>
      `This vLLM refuses the value of ${flag}. It is another version than this driver is made for.`,
  ),
  failure(
    /invalid tool call parser|KeyError: .*?(?:tool|reasoning) parser|(?:Tool|Reasoning) parser '?(?<name>[\w-]+)'? not found/i,
    "CONFIG_INVALID",
    "This vLLM does not have the parser. Set toolParser or reasoningParser to none, or use a newer vLLM.",
  ),
  failure(
    /No module named '?(?<name>vllm|lmcache)\b/,
    "CONFIG_INVALID",
    ({ name }) => `${name} is not installed where the engine runs.`,
  ),
  // The machine.
  failure(
    /system not yet initialized|CUDA driver version is insufficient|No CUDA GPUs are available|Failed to infer device type|CUDA unknown error/,
    "ENGINE_FAILED",
    "The machine's GPUs can't be used: CUDA does not start.",
  ),
  failure(
    /NCCL error|ncclSystemError|ncclInternalError|ncclUnhandledCudaError/,
    "ENGINE_FAILED",
    "The GPUs can't talk to each other (NCCL).",
  ),
  failure(/Address already in use|address already in use/, "ENGINE_FAILED", "The engine's port was taken."),
  failure(
    /Engine core initialization failed|Engine core proc .*? died|WorkerProc initialization failed/,
    "ENGINE_FAILED",
    "The engine's core did not start.",
  ),
];

function failureIn(line: string): LogEvent | undefined {
  for (const { pattern, reason, message } of FAILURES) {
    const found = pattern.exec(line);
    if (found) return { kind: "failure", reason, message: message(found.groups ?? {}) };
  }
  return undefined;
}

type Measured = (LogEvent & { kind: "measured" })["what"];

const MEASURES: readonly [RegExp, Measured, number][] = [
  [/Model loading took ([\d.]+) GiB/, "weightsBytes", GIB],
  [/Available KV cache memory: ([\d.]+) GiB/, "kvBytes", GIB],
  [/KV cache size: ([\d,]+) tokens/, "kvTokens", 1],
];

function measuredIn(line: string): LogEvent | undefined {
  for (const [pattern, what, unit] of MEASURES) {
    const told = pattern.exec(line)?.[1];
    if (told !== undefined) {
      return { kind: "measured", what, value: Math.round(Number(told.replaceAll(",", "")) * unit) };
    }
  }
  return undefined;
}

/** In the order in which a start passes them. Shares are those of the stage. */
const STAGES: readonly [RegExp, string][] = [
  [/Initializing a V1 LLM engine/, "starting the engine"],
  [/Starting to load model/, "loading weights"],
  [/checkpoint shards:\s+(\d+)%/, "loading weights"],
  [/Loading weights took/, "weights loaded"],
  [/Dynamo bytecode transform time|torch\.compile takes|Compiling a graph for/, "compiling"],
  [/Capturing CUDA graphs?.*?:\s+(\d+)%/, "capturing CUDA graphs"],
  [/Graph capturing finished/, "CUDA graphs captured"],
  [/Starting vLLM (?:API )?server|Started server process/, "opening the port"],
];

function progressIn(line: string): LogEvent | undefined {
  if (/Application startup complete/.test(line)) return { kind: "ready" };
  for (const [pattern, detail] of STAGES) {
    const found = pattern.exec(line);
    if (!found) continue;
    const share = found[1] === undefined ? undefined : Math.min(1, Number(found[1]) / 100);
    return share === undefined ? { kind: "progress", detail } : { kind: "progress", detail, share };
  }
  return undefined;
}
