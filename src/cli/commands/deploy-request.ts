/** The flags that describe a deploy, shared by `models deploy` and `preflight`. */
import { readFile } from "node:fs/promises";
import { create, fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError } from "commander";
import {
  type DeployModelRequest,
  DeployModelRequestSchema,
} from "../../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import { slug } from "../../base/id.ts";
import { invalidArgument } from "../../base/status.ts";
import { type Amount, moneyOf, parseAmount } from "../amount.ts";
import type { CliIo } from "../io.ts";
import { readTokenFile } from "../secret-input.ts";
import type { Session } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { gpuTypeOf, infraOf } from "../wire-words.ts";
import { parseCount } from "./numbers.ts";

export interface DeployOptions extends CommonOptions {
  readonly body?: string;
  readonly name?: string;
  readonly description?: string;
  readonly provider?: string;
  readonly region?: string;
  readonly gpu?: string;
  readonly gpus?: number;
  readonly replicas?: number;
  readonly set: Readonly<Record<string, JsonValue>>;
  readonly kvCache?: boolean;
  readonly cpuOffloading?: boolean;
  readonly node?: string;
  readonly priceMax?: Amount;
  readonly spot?: boolean;
  readonly user?: string;
  readonly apiKeyFile?: string;
  readonly hfTokenFile?: string;
}

export function withDeployOptions(command: Command): Command {
  return command
    .argument("[weights]", "org/repo (with @revision and :file if wanted), file:///… or builtin://tiny")
    .option("--body <file>", "the request as JSON, as POST /v1/models takes it; flags win over it")
    .option("--name <name>", "your name for the model; made from the weights where absent")
    .option("--description <text>", "free text")
    .option("--provider <name>", "onprem, nebius, lambda or yotta")
    .option("--region <name>", "region of the provider; alone: one of the operator's own")
    .option("--gpu <type>", "A100, H100, H200 or B200")
    .option("--gpus <count>", "GPUs of one replica; 0 is a replica on CPUs", parseCount)
    .option("--replicas <count>", "replicas to run", parseCount)
    .option("--set <key=value>", "a setting of the engine; may be repeated", parseSetting, {})
    .option("--no-kv-cache", "do not keep prompts' prefixes in the KV cache")
    .option("--cpu-offloading", "let the KV cache spill into CPU memory")
    .option("--node <id>", "pin it to this node")
    .option(
      "--price-max <amount>",
      "most that a GPU hour may cost where another place must be taken; else no more than the chosen one's",
      parseAmount,
    )
    .option("--spot", "machines that the provider may take back will do, where a place has such")
    .option("--user <id>", "owner, for administrators")
    .option("--api-key-file <file>", "the key that the endpoint shall accept; one is made where absent")
    .option("--hf-token-file <file>", "a Hugging Face token for gated weights (also SLIPWAY_HF_TOKEN)");
}

/** The request that the flags describe. Throws INVALID_FIELD for what can be told without asking the server. */
export async function deployRequest(
  session: Session,
  weights: string | undefined,
  options: DeployOptions,
): Promise<DeployModelRequest> {
  const base = options.body === undefined ? create(DeployModelRequestSchema) : await bodyFile(options.body);
  const given = {
    ...flags(weights, options),
    ...(await secrets(session.io, options)),
    ...(await priceMax(session, options)),
  };
  const request = create(DeployModelRequestSchema, { ...base, ...given });
  if (request.modelPath === "") {
    throw invalidArgument([
      { field: "weights", description: "name them, as in `slipway models deploy org/repo`" },
    ]);
  }
  if (request.modelName === "") request.modelName = nameOf(request.modelPath);
  return request;
}

function flags(weights: string | undefined, options: DeployOptions) {
  const { gpu, gpus } = options;
  const infra = infraOf(options.provider, options.region);
  const hasSettings = Object.keys(options.set).length > 0;
  return {
    ...(weights === undefined ? {} : { modelPath: weights }),
    ...(options.name === undefined ? {} : { modelName: options.name }),
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(infra === undefined ? {} : { infra }),
    ...(gpu === undefined ? {} : { gpuType: gpuTypeOf(gpu, "--gpu"), gpuCount: gpus ?? 1 }),
    ...(gpus === undefined ? {} : { gpuCount: gpus }),
    ...(options.replicas === undefined ? {} : { replicas: options.replicas }),
    ...(hasSettings ? { modelSpec: { ...options.set } } : {}),
    // Without a body to say otherwise, prefixes are kept: it costs nothing and saves most of a repeated prompt.
    ...(options.body === undefined || options.kvCache === false
      ? { kvCacheEnabled: options.kvCache !== false }
      : {}),
    ...(options.cpuOffloading === undefined ? {} : { cpuOffloadingEnabled: options.cpuOffloading }),
    ...(options.node === undefined ? {} : { nodeId: options.node }),
    ...(options.spot === undefined ? {} : { spot: options.spot }),
    ...(options.user === undefined ? {} : { userId: options.user }),
  };
}

async function priceMax(session: Session, options: DeployOptions) {
  if (options.priceMax === undefined) return {};
  const [gpuHourPriceMax] = await moneyOf(session, [options.priceMax]);
  return gpuHourPriceMax === undefined ? {} : { gpuHourPriceMax };
}

async function secrets(io: CliIo, options: DeployOptions) {
  const fromEnv = io.env.SLIPWAY_HF_TOKEN ?? "";
  const hfToken = options.hfTokenFile === undefined ? fromEnv : await readTokenFile(io, options.hfTokenFile);
  return {
    ...(hfToken === "" ? {} : { hfToken }),
    ...(options.apiKeyFile === undefined ? {} : { apiKey: await readTokenFile(io, options.apiKeyFile) }),
  };
}

async function bodyFile(path: string): Promise<DeployModelRequest> {
  try {
    const json: JsonValue = JSON.parse(await readFile(path, "utf8"));
    return fromJson(DeployModelRequestSchema, json);
  } catch (error) {
    // The file may hold a token: only the kind of trouble is told where the words could quote it.
    const why = error instanceof Error && !(error instanceof SyntaxError) ? error.message : "it is not JSON";
    throw invalidArgument([{ field: path, description: `is no deploy request: ${why}` }]);
  }
}

const NAME_LENGTH_MAX = 60;

/** The last part of the weights' path, as a name. */
function nameOf(modelPath: string): string {
  const last = modelPath.replace(/^[a-z]+:\/\//, "").replace(/^.*\/(?=[^/:]+)/, "");
  return slug(last.replace(/:.*$/, "").replace(/\.gguf$/i, "")).slice(0, NAME_LENGTH_MAX);
}

/** key=value; the value is JSON where it can be, else text. */
export function parseSetting(text: string, previous: JsonObject): JsonObject {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Give key=value.");
  return { ...previous, [text.slice(0, at)]: jsonOrText(text.slice(at + 1)) };
}

function jsonOrText(text: string): JsonValue {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
