/**
 * Real Kubernetes programs for tests, built once from their source through the Go module proxy (binaries/go.mod pins versions,
 * binaries/go.sum their contents) and kept outside the tree.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { lock } from "proper-lockfile";

const MODULE = fileURLToPath(new URL("binaries/", import.meta.url));

/** Program and the package that it is built from. */
const PROGRAMS = {
  etcd: "go.etcd.io/etcd/server/v3",
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
  "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
  kubectl: "k8s.io/kubernetes/cmd/kubectl",
} as const;

export type Program = keyof typeof PROGRAMS;

/** Where each program lies. */
export type Binaries = Readonly<Record<Program, string>>;

/** Small files, and the version that clients ask for; the one of binaries/go.mod. */
const LINK = "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2";
/** About 6 minutes on two cores; more than that is something else. */
const BUILD_MAX_MS = 40 * 60_000;
/** Enough of a failed build's last lines to see why. */
const REASON_CHARS_MAX = 400;

/**
 * The programs, built first where the cache lacks them. SLIPWAY_ACCEPTANCE_CACHE names the folder of the cache; otherwise it is
 * `slipway` in the user's own cache folder. Throws with the reason where they can't be had.
 */
export async function kubernetesBinaries(): Promise<Binaries> {
  const folder = join(cacheFolder(), "kubernetes", await moduleHash());
  const paths = Object.fromEntries(
    Object.keys(PROGRAMS).map((name) => [name, join(folder, name)]),
  ) as unknown as Binaries;
  if (await isThere(folder)) return paths;
  await mkdir(join(cacheFolder(), "kubernetes"), { recursive: true });
  // Test processes that start together build once; a builder that died frees the lock by itself.
  const release = await lock(MODULE, {
    lockfilePath: `${folder}.lock`,
    stale: 30_000,
    retries: { forever: true, minTimeout: 500, maxTimeout: 2_000, maxRetryTime: BUILD_MAX_MS },
  });
  try {
    if (!(await isThere(folder))) await build(folder);
  } finally {
    await release();
  }
  return paths;
}

/** Why real Kubernetes can't be had on this machine, or undefined. Builds what is missing. */
export async function kubernetesMissing(): Promise<string | undefined> {
  if (process.platform !== "linux") return "the test cluster needs Linux";
  const openssl = spawnSync("openssl", ["version"], { stdio: "ignore" });
  if (openssl.status !== 0) return "there is no openssl, which makes the test cluster's certificates";
  try {
    await kubernetesBinaries();
    return undefined;
  } catch (error) {
    return `Kubernetes can't be built here: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function cacheFolder(): string {
  const named = process.env.SLIPWAY_ACCEPTANCE_CACHE;
  return named || join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "slipway");
}

async function moduleHash(): Promise<string> {
  const hash = createHash("sha256")
    .update(process.arch)
    .update(JSON.stringify(PROGRAMS) + LINK);
  for (const name of ["go.mod", "go.sum"]) hash.update(await readFile(join(MODULE, name)));
  return hash.digest("hex").slice(0, 16);
}

async function isThere(folder: string): Promise<boolean> {
  return (await stat(folder).catch(() => undefined)) !== undefined;
}

/** Builds beside the folder and moves it there whole, so that a folder that exists is complete. */
async function build(folder: string): Promise<void> {
  const making = await mkdtemp(`${folder}.making-`);
  try {
    for (const [name, source] of Object.entries(PROGRAMS)) await go(join(making, name), source);
    await rename(making, folder);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}

function go(target: string, source: string): Promise<void> {
  const args = ["-n", "10", "go", "build", "-trimpath", `-ldflags=${LINK}`, "-o", target, source];
  const env = {
    ...process.env,
    CGO_ENABLED: "0",
    GOFLAGS: "-mod=readonly -buildvcs=false",
    GOTOOLCHAIN: "local",
  };
  const child = spawn("nice", args, {
    cwd: MODULE,
    env,
    stdio: ["ignore", "ignore", "pipe"],
    timeout: BUILD_MAX_MS,
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-REASON_CHARS_MAX);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) =>
      code === 0 ? resolve() : reject(new Error(said.trim() || "the build was ended")),
    );
  });
}
