/** The whole program beside a test cluster that is one of its regions, and a user who can pay for it. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { tinyGguf } from "../../../src/engines/llama-cpp/index.ts";
import { type Json, must } from "../../../src/main/quickstart/wire.ts";
import { undoAfter } from "../cleanup.ts";
import { type TestInstallation, testInstallation } from "../installation.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { type Images, slipwayImage } from "./images.ts";
import { startKubelet } from "./kubelet.ts";
import type { TestNode } from "./nodes.ts";
import { NAMESPACE, prepareRegion, REGION } from "./region.ts";

export const PLACE = { cloudProvider: "CLOUD_PROVIDER_ONPREM", onpremRegion: REGION };
const NODE = "node-a";

export interface ClusterOptions {
  readonly drainSeconds?: string;
  readonly capacity?: TestNode["capacity"];
  readonly images?: Images;
  /** As `kubernetes.engines`. */
  readonly engines?: Json;
  /** Puts weights into the folder of the node, and into the same as the control plane sees it. */
  fill?(folder: string): Promise<void>;
}

export interface InstallationWithCluster {
  readonly cluster: Cluster;
  readonly on: TestInstallation;
  /** The tiny model, on the node. */
  readonly modelPath: string;
  /** The folder of the node, under the path by which everybody knows it. */
  readonly folder: string;
  /** Of a user whose money is not play money: that pays for this machine only. */
  readonly token: string;
}

export async function installationWithCluster(
  t: TestContext,
  options: ClusterOptions = {},
): Promise<InstallationWithCluster> {
  const cluster = await startCluster();
  undoAfter(t, () => cluster.close());
  const node = { name: NODE, capacity: options.capacity ?? {} };
  const images = options.images ?? (() => slipwayImage);
  const kubelet = await startKubelet(cluster, { nodes: [node], images });
  undoAfter(t, () => kubelet.close());
  const { config } = await prepareRegion(cluster);
  const folder = await mkdtemp(join(tmpdir(), "slipway-node-"));
  undoAfter(t, () => rm(folder, { recursive: true }));
  // The same folder as the node has it, and as the control plane sees it to judge what is in it.
  const onNode = join(cluster.folder, "nodes", NODE, "host", folder);
  await mkdir(onNode, { recursive: true });
  for (const dir of [folder, onNode]) {
    await writeFile(join(dir, "tiny.gguf"), tinyGguf({ seed: 1 }));
    await options.fill?.(dir);
  }
  const file = join(folder, "providers.json");
  const engines = options.engines ?? config.engines;
  const kubernetes = { ...config, engines, weights: { kind: "hostPath", path: folder } };
  const regions = [{ provider: "onprem", region: REGION, kubernetes }];
  await writeFile(file, JSON.stringify({ regions }), { mode: 0o600 });
  const settings = { SLIPWAY_WEIGHTS_DIRS: folder, SLIPWAY_DRAIN_MAX_SECONDS: options.drainSeconds ?? "5" };
  const on = await testInstallation(t, settings);
  await on.restart({ SLIPWAY_PROVIDERS_FILE: file, SLIPWAY_PAYMENTS: "off" });
  await on.wire({
    method: "POST",
    path: "/v1/admin/billing/gpu-pricing",
    token: on.people.adminToken,
    body: {
      cloudProvider: "CLOUD_PROVIDER_ONPREM",
      region: REGION,
      gpuType: "GPU_TYPE_UNSPECIFIED",
      hourlyRate: { currencyCode: "USD", units: "1" },
    },
  });
  const token = await userWithCredit(on);
  return { cluster, on, token, folder, modelPath: `file://${folder}/tiny.gguf` };
}

async function userWithCredit(on: TestInstallation): Promise<string> {
  const post = (path: string, body: Json) =>
    on.wire({ method: "POST", path: `/v1/admin/${path}`, token: on.people.adminToken, body });
  const user = await post("users", { displayName: "Second user", userRole: "USER_ROLE_USER" });
  const userId = must(user, "user", "id");
  await post("billing/balances:add", {
    targetUserId: userId,
    amount: { currencyCode: "USD", units: "50" },
    description: "for a model in a cluster",
  });
  return must(await post("access-tokens", { userId, name: "cluster" }), "secret");
}

/** Objects of ours that are in the namespace. */
export async function leftIn({ api }: Cluster): Promise<number> {
  const counts = ["api/v1/|pods", "api/v1/|secrets", "api/v1/|services", "apis/apps/v1/|deployments"].map(
    async (one) => {
      const [root = "", resource = ""] = one.split("|");
      const query = "?labelSelector=app.kubernetes.io/managed-by%3Dslipway";
      const path = `/${root}namespaces/${NAMESPACE}/${resource}${query}`;
      return (await api.call<{ items: readonly unknown[] }>("GET", path)).items.length;
    },
  );
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

export async function podsOf({ api }: Cluster): Promise<readonly string[]> {
  const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
  const { items } = await api.call<{ items: { metadata: { name: string } }[] }>("GET", path);
  return items.map((pod) => pod.metadata.name);
}
