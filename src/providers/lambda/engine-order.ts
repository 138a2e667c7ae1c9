/** What a machine's agent is told: the container, its files, the weights to fetch, and the secrets. Pure. */
import { posix } from "node:path";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec } from "../driver.ts";
import { repositoryOf, weightsFolder } from "../fetch-weights.ts";
import type { LambdaDriverOptions } from "./options.ts";

/** Paths and port as the container sees them. */
const FILES_DIR = "/etc/slipway";
const MODEL_DIR = "/models";
const ENGINE_PORT = 8000;

/** Throws WEIGHTS_UNSUPPORTED or WEIGHTS_PATH_REFUSED for what can't run there. */
export function engineOrder(options: LambdaDriverOptions, spec: ReplicaSpec): object {
  const { engineKey, hfToken } = spec.secrets;
  const command = options.vllm.engine.command?.(spec.plan, {
    executable: "vllm",
    modelPath: MODEL_DIR,
    servedNames: [spec.servedName],
    // Inside its container; Docker publishes the port on loopback of the machine alone.
    host: "0.0.0.0",
    port: ENGINE_PORT,
    dir: FILES_DIR,
    engineKey,
    adaptersDir: MODEL_DIR,
    templatesDir: "",
    drainSeconds: options.drainMaxSeconds,
  });
  if (!command || spec.plan.engine !== options.vllm.engine.name) {
    throw unsupported(`On Lambda's machines runs vLLM only, and the plan is for ${spec.plan.engine}.`);
  }
  const { argv, env } = command;
  const files = Object.fromEntries(command.files.map((file) => [posix.basename(file.path), file.text]));
  return {
    image: options.config.engines.vllm.image,
    argv,
    env,
    files,
    filesDir: FILES_DIR,
    modelDir: MODEL_DIR,
    port: ENGINE_PORT,
    weights: weightsOrder(options, spec),
    engineKey,
    hubToken: hfToken,
    /** What no line of a log may show. */
    secrets: [engineKey, hfToken].filter((secret) => secret !== ""),
  };
}

function weightsOrder({ hubEndpoint }: LambdaDriverOptions, spec: ReplicaSpec): object {
  const { source, revision, files } = spec.weights;
  if (/^(file|builtin):/.test(source)) {
    throw unsupported("Lambda's machines fetch weights from the hub; files of this machine don't get there.");
  }
  return {
    endpoint: hubEndpoint,
    repository: repositoryOf(spec),
    revision,
    folder: weightsFolder(spec).join("/"),
    files,
  };
}

function unsupported(message: string): StatusError {
  return new StatusError({ code: "FAILED_PRECONDITION", reason: "WEIGHTS_UNSUPPORTED", message });
}
