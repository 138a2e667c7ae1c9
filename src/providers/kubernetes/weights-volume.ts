/** Where a replica's weights lie in its pod, and the init container that fetches what is missing. */
import { posix } from "node:path";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec } from "../driver.ts";
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
  const dir = posix.join(mountPath, ...folderOf(spec));
  const names = files.map((file) => posix.join(dir, file.name));
  return { mountPath, dir, files: names, fetch: !("fetch" in weights) || weights.fetch, volume };
}

/** `org/repo/<revision>`: another revision never changes what a running engine has mapped. */
function folderOf(spec: ReplicaSpec): readonly string[] {
  const [repository = ""] = spec.weights.source.split("@");
  const parts = [...repository.split("/"), spec.weights.revision];
  if (parts.every((part) => /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(part))) return parts;
  throw refused("WEIGHTS_PATH_REFUSED", "The name of the weights can't be a folder.");
}

export function repositoryOf(spec: ReplicaSpec): string {
  return spec.weights.source.split("@")[0] ?? "";
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

/**
 * Runs in the engine's own image, so that an air-gapped registry needs no other: plain Python, no packages. Files are written
 * beside their place and moved when whole, so that replicas which share a volume don't disturb each other. The hub's token goes to
 * the hub alone, not to where it redirects.
 */
export const FETCH_PROGRAM = `import hashlib, json, os, sys, time, urllib.error, urllib.parse, urllib.request

order = json.load(open(sys.argv[1]))
token = open(sys.argv[2]).read().strip() if os.path.exists(sys.argv[2]) else ""
total = sum(f["sizeBytes"] for f in order["files"])
done = 0
told = 0.0

def say(**line):
    print(json.dumps(line), flush=True)

def fail(reason, message):
    say(event="failed", reason=reason, message=message)
    sys.exit(1)

class Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc:
            new.remove_header("Authorization")
        return new

opener = urllib.request.build_opener(Redirects)

def progress(count):
    global done, told
    done += count
    if time.time() - told > 2:
        told = time.time()
        say(event="progress", doneBytes=done, totalBytes=total)

def fetch(f, path):
    url = "%s/%s/resolve/%s/%s" % (order["endpoint"].rstrip("/"), order["repository"], order["revision"], urllib.parse.quote(f["name"]))
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token} if token else {})
    draft = "%s.%s.draft" % (path, os.uname().nodename)
    digest = hashlib.sha256()
    with opener.open(request, timeout=60) as answer, open(draft, "wb") as out:
        while True:
            piece = answer.read(1 << 20)
            if not piece:
                break
            digest.update(piece)
            out.write(piece)
            progress(len(piece))
    size = os.path.getsize(draft)
    if (f["sizeBytes"] and size != f["sizeBytes"]) or (f["sha256"] and digest.hexdigest() != f["sha256"]):
        os.remove(draft)
        fail("WEIGHTS_CHECKSUM", "%s came damaged." % f["name"])
    os.replace(draft, path)

for f in order["files"]:
    path = os.path.join(order["dir"], f["name"])
    if os.path.exists(path) and (not f["sizeBytes"] or os.path.getsize(path) == f["sizeBytes"]):
        progress(f["sizeBytes"])
        continue
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        fetch(f, path)
    except urllib.error.HTTPError as error:
        if error.code == 401:
            fail("HUB_TOKEN_INVALID" if token else "WEIGHTS_GATED", "The hub refuses to hand out %s." % f["name"])
        if error.code == 403:
            fail("WEIGHTS_GATED", "The repository is gated, and the token has no access to it.")
        if error.code == 404:
            fail("WEIGHTS_NOT_FOUND", "The hub does not have %s." % f["name"])
        fail("HUB_UNREACHABLE", "The hub answers %d." % error.code)
    except urllib.error.URLError as error:
        fail("HUB_UNREACHABLE", "The hub can't be reached from the cluster: %s." % error.reason)
    except OSError as error:
        fail("DISK_FULL" if error.errno == 28 else "ENGINE_FAILED", "The weights could not be stored: %s." % error.strerror)
say(event="fetched", totalBytes=total)
`;

function refused(reason: "WEIGHTS_UNSUPPORTED" | "WEIGHTS_PATH_REFUSED", message: string): StatusError {
  return new StatusError({ code: "FAILED_PRECONDITION", reason, message });
}
