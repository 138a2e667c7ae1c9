/** What an operator applies for Slipway itself is whole, allowed, and the same when it is applied again. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { undoAfter } from "../../support/cleanup.ts";
import type { KubeObject } from "../../support/kubernetes/api.ts";
import { type Cluster, startCluster } from "../../support/kubernetes/cluster.ts";
import { until } from "../../support/kubernetes/until.ts";

const run = promisify(execFile);
const OVERLAYS = fileURLToPath(new URL("../../../deploy/kustomize/overlays", import.meta.url));

interface SeenPod extends KubeObject {
  readonly metadata: KubeObject["metadata"] & { readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly containers: readonly {
      readonly image: string;
      readonly ports?: readonly { readonly name: string }[];
    }[];
  };
}

interface SeenService extends KubeObject {
  readonly spec: {
    readonly selector?: Readonly<Record<string, string>>;
    readonly ports: readonly { readonly targetPort: string }[];
  };
}

for (const overlay of await readdir(OVERLAYS)) {
  test(`${overlay}: strict apply, restricted pods of every role, services that find a port, and no change the second time`, async (t) => {
    const cluster = await startCluster();
    undoAfter(t, () => cluster.close());
    await apply(cluster, overlay);
    const first = await objects(cluster);
    let pods: SeenPod[] = [];
    // The namespace refuses pods that ask for more than the restricted profile allows: then none would come.
    await until("each role has a pod", async () => {
      pods = (await cluster.api.call<{ items: SeenPod[] }>("GET", "/api/v1/namespaces/slipway/pods")).items;
      return new Set(pods.map(roleOf)).size === 4;
    });
    assert.deepEqual([...new Set(pods.map(roleOf))].sort(), ["api", "gateway", "migrate", "worker"]);
    for (const pod of pods) {
      for (const { image } of pod.spec.containers) assert.match(image, /^registry\.\w+(\.com)?\/slipway:/);
    }
    for (const service of await services(cluster)) {
      const found = pods.filter((pod) =>
        Object.entries(service.spec.selector ?? {}).every(
          ([key, value]) => pod.metadata.labels[key] === value,
        ),
      );
      const ports = found.flatMap((pod) => pod.spec.containers.flatMap((one) => one.ports ?? []));
      for (const { targetPort } of service.spec.ports) {
        assert.ok(
          ports.some(({ name }) => name === targetPort),
          `${service.metadata.name} finds no port ${targetPort}`,
        );
      }
    }
    await apply(cluster, overlay);
    assert.deepEqual(await objects(cluster), first);
  });
}

async function apply(cluster: Cluster, overlay: string): Promise<void> {
  const { kubectl } = cluster.binaries;
  const { stdout } = await run(kubectl, ["kustomize", join(OVERLAYS, overlay)]);
  const args = [
    "--kubeconfig",
    cluster.kubeconfigFile,
    "apply",
    "--server-side",
    "--validate=strict",
    "-f",
    "-",
  ];
  const applying = run(kubectl, args);
  applying.child.stdin?.end(stdout);
  await applying;
}

/** What was asked for of each object: its generation counts changes of it. */
async function objects(cluster: Cluster): Promise<string[]> {
  const lists = [
    "/apis/apps/v1/namespaces/slipway/deployments",
    "/apis/apps/v1/namespaces/slipway/statefulsets",
    "/apis/batch/v1/namespaces/slipway/jobs",
    "/apis/networking.k8s.io/v1/namespaces/slipway/networkpolicies",
    "/apis/networking.k8s.io/v1/namespaces/slipway/ingresses",
    "/apis/policy/v1/namespaces/slipway/poddisruptionbudgets",
    "/api/v1/namespaces/slipway/configmaps",
  ];
  type Listed = KubeObject & { readonly metadata: { readonly generation?: number } };
  const found = await Promise.all(lists.map((path) => cluster.api.call<{ items: Listed[] }>("GET", path)));
  return found.flatMap(({ items }) =>
    items.map(({ metadata }) => `${metadata.name} ${metadata.uid} ${metadata.generation}`),
  );
}

async function services(cluster: Cluster): Promise<SeenService[]> {
  return (await cluster.api.call<{ items: SeenService[] }>("GET", "/api/v1/namespaces/slipway/services"))
    .items;
}

function roleOf(pod: SeenPod): string {
  return pod.metadata.labels["app.kubernetes.io/component"] ?? "";
}
