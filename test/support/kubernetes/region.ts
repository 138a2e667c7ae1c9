/** A namespace of a test cluster as a region of the driver, with the driver's own account and its least rights. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Steps } from "../../../src/base/steps.ts";
import { tinyGguf } from "../../../src/engines/llama-cpp/index.ts";
import { failureOf, vllm } from "../../../src/engines/vllm/index.ts";
import type { ReplicaSpec } from "../../../src/providers/driver.ts";
import { type KubernetesConfig, kubernetesSchema } from "../../../src/providers/kubernetes/config.ts";
import { type KubernetesDriver, kubernetesDriver, rbac } from "../../../src/providers/kubernetes/index.ts";
import { newSpec, type SpecOptions } from "../local-driver.ts";
import { testWeights } from "../weights.ts";
import type { Cluster } from "./cluster.ts";

export const REGION = "rack-1";
export const NAMESPACE = "models";
const CLAIM = "weights";
const REVISION = "0123456789abcdef0123456789abcdef01234567";

export interface Region {
  readonly config: KubernetesConfig;
  /** As one more worker has it. */
  driver(steps?: Steps): KubernetesDriver;
  /** A replica of the tiny model, which lies in the shared claim. */
  spec(t: TestContext, options?: SpecOptions): Promise<ReplicaSpec>;
  /** The same of a file that is no model. */
  brokenSpec(t: TestContext): Promise<ReplicaSpec>;
}

export async function prepareRegion(cluster: Cluster): Promise<Region> {
  const { api } = cluster;
  await api.call("POST", "/api/v1/namespaces", { metadata: { name: NAMESPACE } });
  for (const object of rbac(NAMESPACE)) await api.apply(pathOf(object), object);
  const kubeconfig = await accountKubeconfig(cluster);
  await fillClaim(cluster);
  const config = kubernetesSchema.parse({
    kubeconfig,
    namespace: NAMESPACE,
    reach: "direct",
    engines: { "llama.cpp": { image: "slipway" }, vllm: { image: "vllm" } },
    gpus: { H100: { nodeLabels: { "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3" }, memoryGib: 80 } },
    cpu: {},
    weights: { kind: "claim", claim: CLAIM, fetch: false },
  });
  const specOf = async (t: TestContext, name: string, options?: SpecOptions) => {
    const { weights } = await testWeights(t, undefined, { cacheDir: join(cluster.folder, "cache") });
    const spec = await newSpec(weights, options);
    const facts = { ...spec.weights, source: `test/${name}`, revision: REVISION, files: [FILE] };
    return { ...spec, region: REGION, weights: facts };
  };
  return {
    config,
    driver: (steps) => regionDriver(config, steps),
    spec: (t, options) => specOf(t, "tiny", options),
    brokenSpec: (t) => specOf(t, "broken"),
  };
}

export function regionDriver(config: KubernetesConfig, steps?: Steps): KubernetesDriver {
  return kubernetesDriver({
    provider: "ONPREM",
    region: REGION,
    config,
    engines: { vllm: { engine: vllm, failureOf } },
    drainMaxSeconds: 60,
    hubEndpoint: "https://hub.invalid",
    ...(steps ? { steps } : {}),
  });
}

const FILE = { name: "model.gguf", sizeBytes: 0, sha256: "" };

function pathOf(object: unknown): string {
  const { apiVersion, kind, metadata } = object as {
    apiVersion: string;
    kind: string;
    metadata: { name: string; namespace?: string };
  };
  const root = apiVersion === "v1" ? "/api/v1" : `/apis/${apiVersion}`;
  const place = metadata.namespace === undefined ? "" : `/namespaces/${metadata.namespace}`;
  return `${root}${place}/${kind.toLowerCase()}s/${metadata.name}`;
}

async function accountKubeconfig(cluster: Cluster): Promise<string> {
  const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/slipway/token`;
  const answer = await cluster.api.call<{ status: { token: string } }>("POST", path, {
    spec: { expirationSeconds: 3_600 },
  });
  const tokenFile = join(cluster.folder, "slipway.token");
  await writeFile(tokenFile, answer.status.token, { mode: 0o600 });
  const file = join(cluster.folder, "slipway.kubeconfig");
  const text = {
    "current-context": "test",
    contexts: [{ name: "test", context: { cluster: "test", user: "slipway" } }],
    clusters: [{ name: "test", cluster: { server: cluster.url, "certificate-authority": cluster.caFile } }],
    users: [{ name: "slipway", user: { tokenFile } }],
  };
  await writeFile(file, JSON.stringify(text), { mode: 0o600 });
  return file;
}

async function fillClaim(cluster: Cluster): Promise<void> {
  const claims = `/api/v1/namespaces/${NAMESPACE}/persistentvolumeclaims`;
  const claim = await cluster.api.call("POST", claims, {
    metadata: { name: CLAIM },
    spec: { accessModes: ["ReadWriteMany"], resources: { requests: { storage: "1Gi" } } },
  });
  const folder = join(cluster.folder, "claims", claim.metadata.uid, "test");
  for (const [name, bytes] of [
    ["tiny", tinyGguf({ seed: 1 })],
    ["broken", Buffer.from("GGUF and then nothing of use")],
  ] as const) {
    await mkdir(join(folder, name, REVISION), { recursive: true });
    await writeFile(join(folder, name, REVISION, FILE.name), bytes);
  }
}
