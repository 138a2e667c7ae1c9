/** A replica that spans nodes, as a LeaderWorkerSet on a real API server: applied strictly, observed, deleted. Its controller is stood in for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { failureOf, vllm } from "../../../src/engines/vllm/index.ts";
import type { ReplicaSpec } from "../../../src/providers/driver.ts";
import { manifestsOf } from "../../../src/providers/kubernetes/manifests.ts";
import { replicaName } from "../../../src/providers/replica-name.ts";
import { undoAfter } from "../../support/cleanup.ts";
import { startCluster } from "../../support/kubernetes/cluster.ts";
import type { TestImage } from "../../support/kubernetes/images.ts";
import { startKubelet } from "../../support/kubernetes/kubelet.ts";
import { installLeaderWorkerSet, startGroup } from "../../support/kubernetes/leader-worker-set.ts";
import { NAMESPACE, prepareRegion, REGION } from "../../support/kubernetes/region.ts";
import { until } from "../../support/kubernetes/until.ts";
import { liveCtx, untilPhase } from "../../support/local-driver.ts";

const ENGINE = fileURLToPath(new URL("../../support/kubernetes/group-engine.ts", import.meta.url));
const IMAGE: TestImage = { rewrite: (argv) => [process.execPath, ENGINE, ...argv] };
const GPU = {
  labels: { "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3" },
  capacity: { "nvidia.com/gpu": "1" },
};
const GROUPS = `/apis/leaderworkerset.x-k8s.io/v1/namespaces/${NAMESPACE}/leaderworkersets`;

test("a replica over two nodes is a group of two pods, whose leader answers and whose end takes all along", async (t) => {
  const cluster = await startCluster();
  undoAfter(t, () => cluster.close());
  const nodes = ["node-a", "node-b"].map((name) => ({ name, ...GPU }));
  const kubelet = await startKubelet(cluster, { nodes, images: () => IMAGE });
  undoAfter(t, () => kubelet.close());
  await installLeaderWorkerSet(cluster);
  const region = await prepareRegion(cluster);
  const driver = region.driver();
  undoAfter(t, () => driver.close());
  const spec = twoNodes(await region.spec(t));

  const options = {
    ...({ provider: "ONPREM", region: REGION, config: region.config, drainMaxSeconds: 60 } as const),
    ...{ engines: { vllm: { engine: vllm, failureOf } }, hubEndpoint: "" },
  };
  const [workload] = manifestsOf(options, spec).rest.filter((one) => one.kind === "LeaderWorkerSet");
  assert.ok(workload);
  const strict = { apiVersion: "leaderworkerset.x-k8s.io/v1", kind: workload.kind, ...workload.body };
  const other = { ...strict, metadata: { ...workload.body.metadata, name: "strictly" } };
  await cluster.api.apply(`${GROUPS}/strictly`, other);
  await cluster.api.call("DELETE", `${GROUPS}/strictly`);
  await assert.rejects(
    cluster.api.apply(`${GROUPS}/misspelt`, {
      ...strict,
      metadata: { name: "misspelt" },
      spec: { leaderWorkerTemplate: { workerTemplate: { spec: { containerz: [] } } } },
    }),
    /containerz/,
    "the kind checks pods strictly",
  );

  await driver.apply(liveCtx, spec);
  const detail = async () => (await driver.observe(liveCtx, [spec.name]))[0]?.detail;
  assert.equal(await detail(), "the cluster makes its pod");
  await startGroup(cluster, NAMESPACE, spec.name);
  const seen = await untilPhase(driver, spec.name, ["up"]);
  const answer = await fetch(`http://${seen.address?.host}:${seen.address?.port}/health`);
  assert.deepEqual(await answer.json(), {
    rank: "0",
    nodes: "2",
    leader: `${spec.name}-0.${spec.name}.${NAMESPACE}`,
  });
  const log = `/api/v1/namespaces/${NAMESPACE}/pods/${spec.name}-0-1/log`;
  const told = await cluster.api.call("GET", log);
  assert.match(JSON.stringify(told), /"rank\\*":\\*"1\\*".*"headless\\*":true/);
  const pods = await podsOf();
  assert.deepEqual(pods.map((pod) => pod.spec.nodeName).sort(), ["node-a", "node-b"]);

  await driver.remove(liveCtx, spec.name, { graceMs: 2_000 });
  await untilPhase(driver, spec.name, ["absent"]);
  await until("every pod is gone", async () => (await podsOf()).length === 0);
  assert.deepEqual(await driver.list(liveCtx, spec.key.installationId), []);

  async function podsOf() {
    const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
    return (await cluster.api.call<{ items: { spec: { nodeName: string } }[] }>("GET", path)).items;
  }
});

/** The same weights on two GPUs of two nodes. */
function twoNodes(spec: ReplicaSpec): ReplicaSpec {
  const hardware = {
    ...({ gpuType: "H100", gpuCount: 2, nodes: 2, gpuMemoryBytes: 80 * 2 ** 30 } as const),
    ...{ cpuMemoryBytes: 64 * 2 ** 30, cpuCount: 16 },
  };
  const switches = { kvCacheEnabled: true, cpuOffloadingEnabled: false };
  const weights = { ...spec.weights, format: "safetensors" } as const;
  const plan = vllm.plan(weights, hardware, switches, {});
  const key = { ...spec.key, replica: 1 };
  return { ...spec, key, name: replicaName(key), gpuType: "H100", gpuCount: 2, weights, plan };
}
