/** The Nebius driver keeps what every driver promises: a fake of the cloud's API, and a real control plane with real engines under it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { NebiusDriver } from "../../../src/providers/nebius/index.ts";
import { type DriverUnderTest, driverContract } from "../../contract/driver.ts";
import type { FaultTable } from "../../contract/driver-faults.ts";
import { workerDies } from "../../support/doomed-worker.ts";
import { type Cluster, startCluster } from "../../support/kubernetes/cluster.ts";
import { slipwayImage } from "../../support/kubernetes/images.ts";
import { type Kubelet, startKubelet } from "../../support/kubernetes/kubelet.ts";
import { enginesOf, liveCtx, untilPhase } from "../../support/local-driver.ts";
import type { CreateFaults } from "../../support/nebius/cloud.ts";
import { type NebiusRegion, type OfNebius, prepareNebius } from "../../support/nebius/region.ts";

const WORKER = fileURLToPath(new URL("../../support/nebius/driver-worker.ts", import.meta.url));

let cluster: Cluster;
let kubelet: Kubelet;
let region: NebiusRegion;

before(async () => {
  cluster = await startCluster();
  kubelet = await startKubelet(cluster, { nodes: [{ name: "own-node" }], images: () => slipwayImage });
  region = await prepareNebius(cluster, kubelet);
});
after(async () => {
  await region?.fake.close();
  await kubelet?.close();
  await cluster?.close();
});

const FAULTS: FaultTable = {
  "lost reply": "injected",
  "accepted, then nothing": "injected",
  "slow create": "injected",
  "broken list": "injected",
  vanished: "injected",
  "stale reads": "injected",
  "no capacity": "injected",
  "no quota": "injected",
  "credentials revoked": "injected",
  "rate limited": "injected",
  unreachable: "injected",
};

/** More calls than a test makes. */
const MANY = 1_000_000;

driverContract("nebius", FAULTS, async (t): Promise<DriverUnderTest> => {
  const workers: NebiusDriver[] = [];
  t.after(() => Promise.all(workers.map((worker) => worker.close())));
  const { fake } = region;
  const { faults } = fake.cloud;
  const mends = (calm: Partial<CreateFaults>) => async () => void Object.assign(faults, calm);
  return {
    steps: { recorded: "kubernetes.created", created: "nebius.created", removing: "kubernetes.removing" },
    logsEndWithReplica: true,
    worker: () => {
      const driver = region.driver();
      workers.push(driver);
      return driver;
    },
    spec: (options) => region.spec(t, options),
    failingSpec: async () => ({ spec: await region.brokenSpec(t), reason: "WEIGHTS_UNSUPPORTED" }),
    workerDies: ({ at, ...order }) => {
      const { config, kubernetes } = region;
      return workerDies<OfNebius>(t, WORKER, { config, kubernetes, ...order, ...(at ? { killAt: at } : {}) });
    },
    engines: async (spec) => (await enginesOf(spec.name)).length,
    killEngine: async (spec) => {
      for (const pid of await enginesOf(spec.name)) process.kill(pid, "SIGKILL");
    },
    async inject(fault, about) {
      switch (fault) {
        case "lost reply":
          faults.loseReplies = MANY;
          return { mend: mends({ loseReplies: 0 }) };
        case "accepted, then nothing":
          faults.starve = "silent";
          return { mend: mends({ starve: undefined }) };
        case "slow create":
          faults.hold = true;
          return { mend: mends({ hold: false }) };
        case "broken list":
          fake.broken.lists = true;
          return { mend: async () => void Object.assign(fake.broken, { lists: false }) };
        case "vanished":
          await fake.cloud.lose(about.name);
          return { mend: async () => {} };
        case "stale reads":
          faults.shown = new Set(fake.cloud.all().map((group) => group.metadata?.name ?? ""));
          return { mend: mends({ shown: undefined }) };
        case "no capacity":
          faults.refuse = "no-machine";
          return { words: /not enough machines/, mend: mends({ refuse: undefined }) };
        case "no quota":
          faults.refuse = "quota";
          return { words: /gpu\.h100 allows 8/, mend: mends({ refuse: undefined }) };
        case "credentials revoked":
          fake.revokeKey();
          return { words: /nebius\.credentials/, mend: async () => fake.restoreKey() };
        case "rate limited":
          fake.broken.rate = true;
          return { mend: async () => void Object.assign(fake.broken, { rate: false }) };
        case "unreachable":
          fake.unavailable(MANY);
          return { mend: async () => fake.unavailable(0) };
      }
    },
  };
});

test("a replica runs on a machine of its own, and leaves none", async (t) => {
  const driver = region.driver();
  t.after(() => driver.close());
  const [one, other] = [await region.spec(t), await region.spec(t)];
  for (const spec of [one, other]) await driver.apply(liveCtx, spec);
  const nodes: string[] = [];
  for (const { name } of [one, other]) {
    await untilPhase(driver, name, ["up"]);
    const path = `/api/v1/pods?labelSelector=slipway.dev/replica%3D${name}`;
    const pods = await cluster.api.call<{ items: { spec: { nodeName: string } }[] }>("GET", path);
    nodes.push(pods.items[0]?.spec.nodeName ?? "");
  }
  assert.deepEqual(nodes, [`${one.name}-0`, `${other.name}-0`]);
  for (const { name } of [one, other]) {
    await driver.remove(liveCtx, name, { graceMs: 1_000 });
    await untilPhase(driver, name, ["absent"]);
  }
  for (const { name } of [one, other]) assert.equal(region.fake.cloud.byName(name), undefined);
  const left = await cluster.api.call<{ items: { metadata: { name: string } }[] }>("GET", "/api/v1/nodes");
  const names = left.items.map((node) => node.metadata.name);
  assert.deepEqual(
    names.filter((name) => nodes.includes(name)),
    [],
  );
});

test("the check of the region finds everything in order, changes nothing, and tells what lacks", async (t) => {
  const driver = region.driver();
  t.after(() => driver.close());
  const writes = () => region.fake.calls.filter(({ method }) => /Create|Delete/.test(method)).length;
  const before = writes();
  const findings = await driver.check(liveCtx);
  assert.deepEqual(
    findings.filter((one) => one.verdict !== "ok"),
    [],
  );
  assert.deepEqual(
    findings.map((one) => one.check.replace("eu-north1: ", "")),
    ["credentials", "managed cluster", "machines", "node groups", "cluster", "rights", "weights"],
  );
  assert.equal(writes(), before);
  const missing = region.fake.presets.pop();
  const other = region.driver();
  t.after(() => other.close());
  assert.match(
    (await other.check(liveCtx)).find((one) => /machines/.test(one.check))?.message ?? "",
    /gpu-h100-sxm has no 8gpu-128vcpu-1600gb: set nebius\.gpus\.H100\.presets/,
  );
  region.fake.presets.push(missing ?? "");
});
