/** The Kubernetes driver keeps what every driver promises, with its least rights, on a real control plane and real engines. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { ReplicaSpec } from "../../../src/providers/driver.ts";
import type { KubernetesDriver } from "../../../src/providers/kubernetes/index.ts";
import { RIGHTS } from "../../../src/providers/kubernetes/rbac.ts";
import { type DriverUnderTest, driverContract } from "../../contract/driver.ts";
import type { FaultTable } from "../../contract/driver-faults.ts";
import { workerDies } from "../../support/doomed-worker.ts";
import { type Cluster, startCluster } from "../../support/kubernetes/cluster.ts";
import type { OfRegion } from "../../support/kubernetes/driver-worker.ts";
import { slipwayImage } from "../../support/kubernetes/images.ts";
import { type Kubelet, startKubelet } from "../../support/kubernetes/kubelet.ts";
import { NAMESPACE, prepareRegion, type Region, regionDriver } from "../../support/kubernetes/region.ts";
import { until } from "../../support/kubernetes/until.ts";
import { enginesOf, liveCtx, untilPhase } from "../../support/local-driver.ts";

const WORKER = fileURLToPath(new URL("../../support/kubernetes/driver-worker.ts", import.meta.url));

const GPUS = { "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3" };
const NODES = [
  { name: "node-a" },
  { name: "node-b", labels: GPUS, capacity: { "nvidia.com/gpu": "1" } },
  { name: "node-c" },
];

let cluster: Cluster;
let kubelet: Kubelet;
let region: Region;

before(async () => {
  cluster = await startCluster();
  kubelet = await startKubelet(cluster, { nodes: NODES, images: () => slipwayImage });
  region = await prepareRegion(cluster);
});
after(async () => {
  await kubelet?.close();
  await cluster?.close();
});

const NO_PROXY = {
  cannot:
    "The API server itself is real and speaks TLS: nothing stands between it and the driver that could do so.",
};

const FAULTS: FaultTable = {
  "no capacity": "injected",
  "accepted, then nothing": "injected",
  "slow create": "injected",
  vanished: "injected",
  "lost reply": NO_PROXY,
  "broken list": NO_PROXY,
  "rate limited": NO_PROXY,
  unreachable: NO_PROXY,
  "stale reads": {
    cannot: "The driver reads from the API server's store, which answers with what is there.",
  },
  "no quota": { cannot: "A quota of the namespace would meet every replica of the file's other tests." },
  "credentials revoked": {
    cannot: "Revoking is of a driver with a kubeconfig of its own: see the test below.",
  },
};

driverContract("kubernetes", FAULTS, async (t): Promise<DriverUnderTest> => {
  const workers: KubernetesDriver[] = [];
  t.after(() => Promise.all(workers.map((worker) => worker.close())));
  return {
    steps: {
      recorded: "kubernetes.recorded",
      created: "kubernetes.created",
      removing: "kubernetes.removing",
    },
    logsEndWithReplica: true,
    worker: () => {
      const driver = region.driver();
      workers.push(driver);
      return driver;
    },
    spec: (options) => region.spec(t, options),
    failingSpec: async () => ({ spec: await region.brokenSpec(t), reason: "WEIGHTS_UNSUPPORTED" }),
    workerDies: ({ at, ...order }) =>
      workerDies<OfRegion>(t, WORKER, { config: region.config, ...order, ...(at ? { killAt: at } : {}) }),
    engines: async (spec) => (await enginesOf(spec.name)).length,
    killEngine: async (spec) => {
      for (const pid of await enginesOf(spec.name)) process.kill(pid, "SIGKILL");
    },
    async inject(fault, about) {
      const mend = async () => kubelet.faults.mend();
      // Its only GPU is not eight: the scheduler has no node for it.
      if (fault === "no capacity" || fault === "accepted, then nothing") {
        const spec: ReplicaSpec = { ...about, gpuType: "H100", gpuCount: 8 };
        return { spec, words: /waits for 8 × nvidia.com\/gpu/, mend };
      }
      if (fault === "slow create") {
        kubelet.faults.delayStart("slipway", 5_000);
        return { mend };
      }
      await cluster.api.call("DELETE", `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${about.name}`);
      return { mend };
    },
  };
});

const H100 = { gpuType: "H100", gpuCount: 2 } as const;

test("a replica that finds no room says what it waits for, where, and of how many nodes", async (t) => {
  const driver = region.driver();
  t.after(() => driver.close());
  const spec = { ...(await region.spec(t)), ...H100 };
  await driver.apply(liveCtx, spec);
  await until("the scheduler has looked", async () => /of 3 nodes/.test(await detailOf(driver, spec.name)));
  assert.match(
    await detailOf(driver, spec.name),
    /^waits for 2 × nvidia.com\/gpu in region rack-1: 0 of 3 nodes have it free/,
  );
  await gone(driver, spec.name);
});

test("a node that was asked for is kept to: another with room is not taken instead", async (t) => {
  const driver = region.driver();
  t.after(() => driver.close());
  const spec = { ...(await region.spec(t)), ...H100, gpuCount: 1, nodeId: "node-c" };
  await driver.apply(liveCtx, spec);
  await until("the scheduler has looked", async () => /of 3 nodes/.test(await detailOf(driver, spec.name)));
  assert.match(await detailOf(driver, spec.name), /on node node-c of region rack-1/);
  await gone(driver, spec.name);
  const placed = { ...(await region.spec(t)), ...H100, gpuCount: 1, nodeId: "node-b" };
  await driver.apply(liveCtx, placed);
  await untilPhase(driver, placed.name, ["up"]);
  const offer = (await driver.offers(liveCtx)).find((one) => one.gpuType === "H100");
  assert.equal(offer?.gpuCountMax, 0, "its only GPU is taken");
  assert.deepEqual(offer?.nodeIds, ["node-b"]);
  await gone(driver, placed.name);
  assert.equal((await driver.offers(liveCtx)).find((one) => one.gpuType === "H100")?.gpuCountMax, 1);
});

test("an image that can't be pulled, and memory that ran out, are told in words", async (t) => {
  const driver = region.driver();
  t.after(() => driver.close());
  t.after(() => kubelet.faults.mend());
  kubelet.faults.failPull("slipway", "pull access denied: unauthorized");
  const unpulled = await region.spec(t);
  await driver.apply(liveCtx, unpulled);
  await until("the pull has failed", async () => /pull/.test(await detailOf(driver, unpulled.name)));
  assert.match(await detailOf(driver, unpulled.name), /can't pull the image slipway: .*pullSecrets/);
  await gone(driver, unpulled.name);
  kubelet.faults.mend();
  const spec = await region.spec(t);
  await driver.apply(liveCtx, spec);
  await untilPhase(driver, spec.name, ["up"]);
  const pods = await cluster.api.call<{ items: { metadata: { name: string } }[] }>(
    "GET",
    `/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=slipway.dev/replica%3D${spec.name}`,
  );
  kubelet.faults.outOfMemory(pods.items[0]?.metadata.name ?? "");
  const seen = await untilPhase(driver, spec.name, ["gone"]);
  assert.match(seen.failure?.message ?? "", /OOMKilled/);
  await gone(driver, spec.name);
});

test("credentials that were revoked are told as such, and nothing counts as absent", async (t) => {
  const file = `${cluster.folder}/revoked.kubeconfig`;
  const text = await readFile(region.config.kubeconfig ?? "", "utf8");
  await writeFile(file, text.replace("slipway.token", "revoked.token"));
  await writeFile(`${cluster.folder}/revoked.token`, "no longer known");
  const driver = regionDriver({ ...region.config, kubeconfig: file });
  t.after(() => driver.close());
  await assert.rejects(driver.offers(liveCtx), /refuses our credentials.*kubernetes.kubeconfig/);
  const [seen] = await driver.observe(liveCtx, ["sw-00000000-0000000000000000"]);
  assert.equal(seen?.phase, "unknown");
});

test("the check of the region finds everything in order, and a missing right by its name", async (t) => {
  const driver = region.driver();
  t.after(() => driver.close());
  const findings = await driver.check(liveCtx);
  assert.deepEqual(
    findings.filter((one) => one.verdict !== "ok"),
    [],
  );
  assert.deepEqual(
    findings.map((one) => one.check),
    ["rack-1: cluster", "rack-1: rights", "rack-1: nodes", "rack-1: weights"],
  );
  const elsewhere = regionDriver({ ...region.config, namespace: "default" });
  t.after(() => elsewhere.close());
  const [, rights] = await elsewhere.check(liveCtx);
  assert.match(rights?.message ?? "", /not allowed: get secrets.*slipway kubernetes rbac/);
});

test("the rights are those that the driver uses, and no more", async (t) => {
  const driver = region.driver();
  t.after(() => driver.close());
  const volumes = regionDriver({ ...region.config, weights: { kind: "volume", spareGib: 1 } });
  t.after(() => volumes.close());
  const spec = await region.spec(t);
  await volumes.apply(liveCtx, spec);
  await until(
    "its pod is made",
    async () => (await detailOf(volumes, spec.name)) !== "the cluster makes its pod",
  );
  await gone(volumes, spec.name);
  await driver.check(liveCtx);
  const used = new Set(await callsOfDriver());
  const granted = RIGHTS.filter((one) => one.group !== "leaderworkerset.x-k8s.io").flatMap((one) =>
    one.verbs.map((verb) => `${verb} ${one.resource}.${one.group}${one.everywhere ? " everywhere" : ""}`),
  );
  // The check asks about storage classes only where replicas have volumes of their own.
  const unused = granted.filter((one) => !used.has(one) && !one.includes("storageclasses"));
  assert.deepEqual(unused, []);
});

/** Every call that our account was allowed, as the API server's own audit log has it; none may have been refused in its namespace. */
async function callsOfDriver(): Promise<string[]> {
  const lines = (await readFile(cluster.auditFile, "utf8")).trimEnd().split("\n");
  const calls: string[] = [];
  for (const line of lines) {
    const { user, verb, objectRef: ref, responseStatus } = JSON.parse(line);
    if (user.username !== `system:serviceaccount:${NAMESPACE}:slipway` || !ref) continue;
    const resource = ref.subresource ? `${ref.resource}/${ref.subresource}` : ref.resource;
    const place = ref.namespace ? "" : " everywhere";
    if (ref.namespace === NAMESPACE) assert.notEqual(responseStatus?.code, 403, line);
    calls.push(`${verb} ${resource}.${ref.apiGroup ?? ""}${place}`);
    // An apply of what is not there yet is checked as a create, too.
    if (verb === "patch" && responseStatus?.code === 201)
      calls.push(`create ${resource}.${ref.apiGroup ?? ""}${place}`);
  }
  return calls;
}

async function detailOf(driver: KubernetesDriver, name: string): Promise<string> {
  const [seen] = await driver.observe(liveCtx, [name]);
  return seen?.detail ?? "";
}

async function gone(driver: KubernetesDriver, name: string): Promise<void> {
  await driver.remove(liveCtx, name, { graceMs: 0 });
  await untilPhase(driver, name, ["absent"]);
}
