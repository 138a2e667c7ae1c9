/** Where a replica's weights lie in its pod, and the init container that fetches what is missing. */
import { posix } from "node:path";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec } from "../driver.ts";
import { repositoryOf, weightsFolder } from "../fetch-weights.ts";
import type { KubernetesDriverOptions } from "./options.ts";

export const WEIGHTS_VOLUME = "weights";
export const FETCH_SCRIPT = "fetch-weights.py";
export const FETCH_ORDER = "fetch-weights.json";
export const HUB_TOKEN = "hub-token";
/** Where volumes are mounted that have no path of their own. */
const ROOT = "/models";

export interface WeightsPlace {
  /** Path at which the volume is mounted. */
  readonly mountPath: string;
  /** The folder of the weights, as the engine sees it. */
  readonly dir: string;
  /** The files in the order in which the engine opens them, absolute. */
  readonly files: readonly string[];
  /** Fetched by the init container; false: they must lie there. */
  readonly fetch: boolean;
  readonly volume: object;
}

/** Throws WEIGHTS_UNSUPPORTED or WEIGHTS_PATH_REFUSED for weights that this region can't have. */
export function weightsPlace(options: KubernetesDriverOptions, spec: ReplicaSpec): WeightsPlace {
  const { weights } = options.config;
  const { source, files } = spec.weights;
  if (source.startsWith("builtin:")) {
    throw refused(
      "WEIGHTS_UNSUPPORTED",
      `Built-in weights are on Slipway's own machine, not in region ${options.region}.`,
    );
  }
  const mountPath = weights.kind === "hostPath" ? weights.path : ROOT;
  const volume = volumeOf(options, spec);
  if (source.startsWith("file:")) {
    const outside = files.find((file) => !below(mountPath, file.name));
    if (weights.kind !== "hostPath" || outside) {
      throw refused(
        "WEIGHTS_PATH_REFUSED",
        weights.kind === "hostPath"
          ? `Region ${options.region} has files of its nodes' folder ${mountPath} only.`
          : `Region ${options.region} has no folder of its nodes for file:// weights.`,
      );
    }
    const names = files.map((file) => file.name);
    return { mountPath, dir: posix.dirname(names[0] ?? mountPath), files: names, fetch: false, volume };
  }
  const dir = posix.join(mountPath, ...weightsFolder(spec));
  const names = files.map((file) => posix.join(dir, file.name));
  return { mountPath, dir, files: names, fetch: !("fetch" in weights) || weights.fetch, volume };
}

function below(folder: string, path: string): boolean {
  return posix.normalize(path) === path && path.startsWith(`${folder.replace(/\/$/, "")}/`);
}

function volumeOf({ config }: KubernetesDriverOptions, spec: ReplicaSpec): object {
  const { weights } = config;
  switch (weights.kind) {
    case "volume":
      return { name: WEIGHTS_VOLUME, persistentVolumeClaim: { claimName: spec.name } };
    case "claim":
      return { name: WEIGHTS_VOLUME, persistentVolumeClaim: { claimName: weights.claim } };
    case "hostPath":
      return {
        name: WEIGHTS_VOLUME,
        hostPath: { path: weights.path, type: weights.fetch ? "DirectoryOrCreate" : "Directory" },
      };
    case "emptyDir":
      return { name: WEIGHTS_VOLUME, emptyDir: {} };
  }
}

/** What the script reads. */
export function fetchOrder(options: KubernetesDriverOptions, spec: ReplicaSpec, dir: string): object {
  return {
    endpoint: options.hubEndpoint,
    repository: repositoryOf(spec),
    revision: spec.weights.revision,
    dir,
    files: spec.weights.files,
  };
}

function refused(reason: "WEIGHTS_UNSUPPORTED" | "WEIGHTS_PATH_REFUSED", message: string): StatusError {
  return new StatusError({ code: "FAILED_PRECONDITION", reason, message });
}
