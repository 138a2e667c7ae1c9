/** What an engine is started with in its container: argv, environment, files in the Secret, ports and probes. */
import { posix } from "node:path";
import { StatusError } from "../../base/status.ts";
import type { EnginePort, EngineProbes } from "../../engines/engine.ts";
import type { ReplicaSpec } from "../driver.ts";
import { HEAP_MIB, llamaConfig } from "../llama-process.ts";
import type { KubernetesDriverOptions } from "./options.ts";
import type { WeightsPlace } from "./weights-volume.ts";

/** Where the Secret's files are mounted. */
export const FILES_DIR = "/etc/slipway";
export const ENGINE_KEY_FILE = "engine-key";
export const ENGINE_PORT = 8000;
/** A place that the engine may write to: the root is read-only. */
export const HOME_DIR = "/home/engine";

export interface EngineContainer {
  readonly image: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Name in the Secret → text. */
  readonly files: Readonly<Record<string, string>>;
  readonly ports: readonly EnginePort[];
  /** Undefined: follows a leader, and answers nobody else. */
  readonly probes: EngineProbes | undefined;
}

export interface Part {
  readonly rank: number;
  readonly leader: string;
}

/** Throws WEIGHTS_UNSUPPORTED where the region has no image of the plan's engine. */
export function engineContainer(
  options: KubernetesDriverOptions,
  spec: ReplicaSpec,
  weights: WeightsPlace,
  node?: Part,
): EngineContainer {
  if (spec.plan.engine === "llama.cpp") return llamaCpp(options, spec, weights);
  const image = options.config.engines.vllm;
  const engine = options.engines[spec.plan.engine]?.engine;
  if (spec.plan.engine !== "vllm" || !image || !engine?.command) throw missing(options, spec);
  const command = engine.command(spec.plan, {
    executable: image.executable,
    modelPath: weights.dir,
    servedNames: [spec.servedName],
    // Pods have addresses that nobody knows before: it listens at all of them, and the network policy decides who comes.
    host: "0.0.0.0",
    port: ENGINE_PORT,
    dir: FILES_DIR,
    engineKey: spec.secrets.engineKey,
    adaptersDir: weights.dir,
    templatesDir: "",
    drainSeconds: options.drainMaxSeconds,
    ...(node ? { node } : {}),
  });
  const files = Object.fromEntries(command.files.map((file) => [posix.basename(file.path), file.text]));
  const { argv, env, ports, probes } = command;
  return { image: image.image, argv: argv.map(verbatim), env, files, ports, probes };
}

const LLAMA_CPP_FILE = "engine.json";
/** Small models; those on a slow disk have ten minutes. */
const LLAMA_CPP_PROBES: EngineProbes = {
  path: "/health",
  port: ENGINE_PORT,
  periodSeconds: 2,
  startupFailures: 300,
  livenessFailures: 15,
  readinessFailures: 2,
};

function llamaCpp(
  options: KubernetesDriverOptions,
  spec: ReplicaSpec,
  weights: WeightsPlace,
): EngineContainer {
  const image = options.config.engines["llama.cpp"];
  if (!image) throw missing(options, spec);
  const config = llamaConfig(spec, {
    weightsFiles: weights.files,
    host: "0.0.0.0",
    port: ENGINE_PORT,
    // The cluster keeps it, and the sweeper finds what nobody wants.
    unclaimedExitMs: 0,
    uid: 0,
    gid: 0,
  });
  return {
    image: image.image,
    // The configuration, which holds the key, comes on stdin.
    argv: [
      "/bin/sh",
      "-c",
      'exec "$0" "$@" < "$SLIPWAY_ENGINE_FILE"',
      ...[image.node, `--max-old-space-size=${HEAP_MIB}`, image.main, spec.name].map(verbatim),
    ],
    env: { SLIPWAY_ENGINE_FILE: posix.join(FILES_DIR, LLAMA_CPP_FILE) },
    files: { [LLAMA_CPP_FILE]: JSON.stringify(config) },
    ports: [{ name: "http", port: ENGINE_PORT, from: "gateway" }],
    probes: LLAMA_CPP_PROBES,
  };
}

/** The kubelet puts variables where it finds `$(NAME)`; nothing that users write may mean one. */
export function verbatim(word: string): string {
  return word.replaceAll("$(", "$$$$(");
}

function missing(options: KubernetesDriverOptions, spec: ReplicaSpec): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "WEIGHTS_UNSUPPORTED",
    message: `Region ${options.region} has no image of the engine ${spec.plan.engine}. Name it in kubernetes.engines.`,
  });
}
