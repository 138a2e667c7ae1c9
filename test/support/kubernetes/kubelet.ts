/**
 * A small kubelet over a real API server: its nodes take the pods that the real scheduler binds to them and run their containers as
 * real processes. Needs Linux and root (namespaces, mounts).
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { KubeError } from "./api.ts";
import type { Cluster } from "./cluster.ts";
import { createFaultState, type Faults } from "./faults.ts";
import type { Images } from "./images.ts";
import { serveLogs } from "./kubelet-server.ts";
import { beat, registerNode, renewLease, type TestNode } from "./nodes.ts";
import { type PodRunner, runPod } from "./pod-runner.ts";
import type { Pod } from "./pod-types.ts";
import { shell } from "./shell.ts";
import { until } from "./until.ts";
import { createStorageClass, provision } from "./volumes.ts";

export interface KubeletOptions {
  readonly nodes: readonly TestNode[];
  readonly images: Images;
  /** The first pause before a restart or another pull; it doubles. */
  readonly backOffMs?: number;
}

export interface Kubelet {
  readonly faults: Faults;
  /** A node more, as a cloud makes one. */
  addNode(node: TestNode): Promise<void>;
  /** Drains a node, as a cloud does that takes its machine away, and strikes it off. */
  removeNode(name: string): Promise<void>;
  /** Stops all pods at once; the cluster is not told. */
  close(): Promise<void>;
}

const BEAT_EVERY_MS = 1_000;
const PROVISION_EVERY_MS = 300;
const WATCH_AGAIN_MS = 200;
const MERGE = "application/merge-patch+json";

function unlessGone(error: unknown): void {
  if (!(error instanceof KubeError) || error.status !== 404) throw error;
}

/** Why pods can't run on this machine, or undefined. */
export async function kubeletMissing(): Promise<string | undefined> {
  try {
    await shell("unshare", ["--net", "--mount", "true"]);
    await shell("ip", ["-V"]);
    return undefined;
  } catch {
    return "pods need namespaces: root on Linux, with unshare, nsenter and ip";
  }
}

export async function startKubelet(cluster: Cluster, options: KubeletOptions): Promise<Kubelet> {
  const { api } = cluster;
  const over = new AbortController();
  const faults = createFaultState();
  const pods = new Map<string, PodRunner>();
  const lost = new Set<string>();
  const find = (namespace: string, name: string) =>
    [...pods.values()].find(({ pod }) => pod.metadata.namespace === namespace && pod.metadata.name === name);
  const logs = await serveLogs(cluster, (namespace, name) => {
    const found = find(namespace, name);
    return found && lost.has(found.pod.spec.nodeName ?? "") ? undefined : found;
  });
  await createStorageClass(api);
  const nodes = new Map<string, TestNode>();
  const addNode = async (node: TestNode) => {
    nodes.set(node.name, node);
    await registerNode(api, node, logs.port);
  };
  for (const node of options.nodes) await addNode(node);

  const podCtx = { api, faults, images: options.images, backOffMs: options.backOffMs ?? 1_000 };
  const see = (type: string, pod: Pod) => {
    const { uid } = pod.metadata;
    const node = pod.spec.nodeName ?? "";
    if (!nodes.has(node) || lost.has(node)) return;
    const known = pods.get(uid);
    if (type === "DELETED") {
      // Forced away: nobody waits for its grace any more.
      known?.drop();
      pods.delete(uid);
    } else if (pod.metadata.deletionTimestamp) {
      const graceMs = (pod.metadata.deletionGracePeriodSeconds ?? 30) * 1_000;
      const runner = known ?? start(pod);
      void runner.terminate(graceMs).then(
        () => pods.delete(uid),
        () => {},
      );
    } else if (!known && !/Succeeded|Failed/.test(pod.status?.phase ?? "")) start(pod);
  };
  const start = (pod: Pod) => {
    const nodeFolder = join(cluster.folder, "nodes", pod.spec.nodeName ?? "");
    const runner = runPod({ ...podCtx, nodeFolder, watch: cluster.processes.watch }, pod);
    pods.set(pod.metadata.uid, runner);
    return runner;
  };

  const loops = [
    repeat(BEAT_EVERY_MS, async () => {
      for (const node of nodes.values()) {
        if (lost.has(node.name)) continue;
        await renewLease(api, node.name);
        await beat(api, node, logs.port);
      }
    }),
    repeat(PROVISION_EVERY_MS, () => provision(api, cluster.folder)),
    repeat(WATCH_AGAIN_MS, async () => {
      const list = await api.call<{ metadata: { resourceVersion: string }; items: Pod[] }>(
        "GET",
        "/api/v1/pods",
      );
      for (const pod of list.items) see("ADDED", pod);
      const from = `/api/v1/pods?watch=true&resourceVersion=${list.metadata.resourceVersion}`;
      for await (const { type, object } of api.watch<Pod>(from, over.signal)) {
        if (type === "ERROR") return; // too old: list anew
        see(type, object);
      }
    }),
  ];
  /** Goes on through refusals: a test may break the API server. */
  async function repeat(everyMs: number, work: () => Promise<void>): Promise<void> {
    while (!over.signal.aborted) {
      await work().catch(() => {});
      await sleep(everyMs, undefined, { signal: over.signal }).catch(() => {});
    }
  }
  await mkdir(join(cluster.folder, "nodes"), { recursive: true });

  return {
    faults: {
      failPull: (image, message) => void faults.pulls.set(image, message),
      delayStart: (image, delayMs) => void faults.delays.set(image, delayMs),
      crash: (image, exitCode) => void faults.crashes.set(image, exitCode),
      outOfMemory(podName) {
        for (const { pod, runners } of pods.values()) {
          if (pod.metadata.name === podName) for (const one of runners) one.kill("OOMKilled");
        }
      },
      loseNode(name) {
        lost.add(name);
        for (const runner of pods.values()) if (runner.pod.spec.nodeName === name) runner.drop();
      },
      mend() {
        for (const map of [faults.pulls, faults.delays, faults.crashes]) map.clear();
      },
    },
    addNode,
    async removeNode(name) {
      if (!nodes.has(name)) return;
      const on = () => [...pods.values()].filter(({ pod }) => pod.spec.nodeName === name);
      await api.call("PATCH", `/api/v1/nodes/${name}`, { spec: { unschedulable: true } }, MERGE);
      for (const { pod } of on()) {
        const path = `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}`;
        await api.call("DELETE", path, { gracePeriodSeconds: 1 }).catch(unlessGone);
      }
      await until(`the pods of ${name} have ended`, async () => on().length === 0);
      nodes.delete(name);
      await api.call("DELETE", `/api/v1/nodes/${name}`).catch(unlessGone);
    },
    async close() {
      over.abort();
      for (const runner of pods.values()) runner.drop();
      await Promise.all(loops);
      await logs.close();
    },
  };
}
