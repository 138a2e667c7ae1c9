/** A test cluster as a Nebius region: the fake cloud makes its nodes, and the service account's token is that of the driver's least rights. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Steps } from "../../../src/base/steps.ts";
import { failureOf, vllm } from "../../../src/engines/vllm/index.ts";
import type { ReplicaSpec } from "../../../src/providers/driver.ts";
import type { KubernetesConfig } from "../../../src/providers/kubernetes/config.ts";
import type { NebiusConfig } from "../../../src/providers/nebius/config.ts";
import { type NebiusDriver, nebiusDriver } from "../../../src/providers/nebius/index.ts";
import type { Cluster } from "../kubernetes/cluster.ts";
import type { Kubelet } from "../kubernetes/kubelet.ts";
import { prepareRegion } from "../kubernetes/region.ts";
import type { SpecOptions } from "../local-driver.ts";
import { FAKE_REGION, type FakeNebius, startFakeNebius } from "./fake.ts";

export interface OfNebius {
  readonly config: NebiusConfig;
  readonly kubernetes: KubernetesConfig;
}

export interface NebiusRegion extends OfNebius {
  readonly fake: FakeNebius;
  driver(steps?: Steps): NebiusDriver;
  /** A replica of the tiny model on a machine with one GPU, which its engine does not use. */
  spec(t: TestContext, options?: SpecOptions): Promise<ReplicaSpec>;
  brokenSpec(t: TestContext): Promise<ReplicaSpec>;
}

/** A machine takes a moment, so that what happens before it is there can be seen. */
const BOOT_MS = 300;

export async function prepareNebius(cluster: Cluster, kubelet: Kubelet): Promise<NebiusRegion> {
  const region = await prepareRegion(cluster);
  const fake = await startFakeNebius({
    bootMs: BOOT_MS,
    cluster: { endpoint: cluster.url, ca: await readFile(cluster.caFile, "utf8") },
    token: () => readFile(join(cluster.folder, "slipway.token"), "utf8"),
    machines: {
      start: ({ name, labels, taints, gpuCount }) =>
        kubelet.addNode({ name, labels, taints, capacity: { "nvidia.com/gpu": String(gpuCount) } }),
      end: (name) => kubelet.removeNode(name),
    },
  });
  const { kubeconfig: _, ...kubernetes } = { ...region.config, gpus: {}, cpu: undefined };
  const of = { config: fake.config, kubernetes };
  const onGpu = (spec: ReplicaSpec): ReplicaSpec => ({
    ...spec,
    region: FAKE_REGION,
    gpuType: "H100",
    gpuCount: 1,
  });
  return {
    ...of,
    fake,
    driver: (steps) => nebiusRegionDriver(of, steps),
    spec: async (t, options) => onGpu(await region.spec(t, options)),
    brokenSpec: async (t) => onGpu(await region.brokenSpec(t)),
  };
}

export function nebiusRegionDriver({ config, kubernetes }: OfNebius, steps?: Steps): NebiusDriver {
  return nebiusDriver({
    region: FAKE_REGION,
    config,
    kubernetes,
    engines: { vllm: { engine: vllm, failureOf } },
    drainMaxSeconds: 60,
    hubEndpoint: "https://hub.invalid",
    ...(steps ? { steps } : {}),
  });
}
