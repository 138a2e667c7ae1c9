/** Weights that a replica fetches where it runs: their folder, and the program that brings what is missing. */
import { StatusError } from "../base/status.ts";
import type { ReplicaSpec } from "./driver.ts";

/** `org/repo/<revision>`: another revision never changes what a running engine has mapped. Throws WEIGHTS_PATH_REFUSED. */
export function weightsFolder(spec: ReplicaSpec): readonly string[] {
  const parts = [...repositoryOf(spec).split("/"), spec.weights.revision];
  if (parts.every((part) => /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(part))) return parts;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "WEIGHTS_PATH_REFUSED",
    message: "The name of the weights can't be a folder.",
  });
}

/** Of `org/repo@revision:file`, which part is the repository. */
export function repositoryOf(spec: ReplicaSpec): string {
  return spec.weights.source.split(/[@:]/)[0] ?? "";
}

/**
 * Plain Python, no packages: it runs in the engine's own image, so that an air-gapped registry needs no other, or on a machine. Called
 * with its order and the file of the hub's token, each a path. Files are written beside their place and moved when whole, so that
 * replicas which share a volume don't disturb each other. The hub's token goes to the hub alone, not to where it redirects.
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
        fail("HUB_UNREACHABLE", "The hub can't be reached from there: %s." % error.reason)
    except OSError as error:
        fail("DISK_FULL" if error.errno == 28 else "ENGINE_FAILED", "The weights could not be stored: %s." % error.strerror)
say(event="fetched", totalBytes=total)
`;
