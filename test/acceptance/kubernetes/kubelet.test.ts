/** Pods of the test cluster are real processes that live and die as a kubelet's do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { undoAfter } from "../../support/cleanup.ts";
import type { KubeApi, KubeObject } from "../../support/kubernetes/api.ts";
import { startCluster } from "../../support/kubernetes/cluster.ts";
import { slipwayImage } from "../../support/kubernetes/images.ts";
import { startKubelet } from "../../support/kubernetes/kubelet.ts";
import { until } from "../../support/kubernetes/until.ts";

interface SeenPod extends KubeObject {
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly message?: string;
    }[];
    readonly containerStatuses?: readonly {
      readonly restartCount: number;
      readonly state: { readonly waiting?: { readonly reason: string } };
      readonly lastState: { readonly terminated?: { readonly reason: string; readonly exitCode: number } };
    }[];
  };
}

const PODS = "/api/v1/namespaces/default/pods";
/** Answers each path with what it is asked about; SIGTERM lets the open ones finish. */
const SERVER = `
const { createServer } = require("node:http");
const { readFileSync } = require("node:fs");
const server = createServer((request, response) => {
  console.log("asked " + request.url);
  if (request.url === "/slow") setTimeout(() => response.end("finished"), 2500);
  else if (request.url === "/secret") response.end(readFileSync("/run/app/key") + " " + process.env.MINE + " " + process.getuid());
  else if (request.url === "/keep") { require("node:fs").appendFileSync("/data/kept", "x"); response.end(readFileSync("/data/kept")); }
  else response.end("well");
}).listen(8000, "0.0.0.0", () => console.log("listening"));
process.on("SIGTERM", () => { console.log("ending"); server.close(() => process.exit(0)); });
`;

test("a deployment runs as a real process with its secret, volume, probes, log, grace and restarts", async (t) => {
  const cluster = await startCluster({ nodeGraceSeconds: 4 });
  undoAfter(t, () => cluster.close());
  const { api } = cluster;
  const gpus = { "nvidia.com/gpu": "2" };
  const kubelet = await startKubelet(cluster, {
    nodes: [
      { name: "node-a", capacity: gpus, labels: { pool: "h100" } },
      { name: "node-b", capacity: gpus, labels: { pool: "h100" } },
    ],
    images: (image) => (image.startsWith("example.com/app") ? slipwayImage : undefined),
    backOffMs: 200,
  });
  undoAfter(t, () => kubelet.close());
  await api.call("POST", "/api/v1/namespaces/default/secrets", {
    ...{ metadata: { name: "key" }, stringData: { key: "opens" } },
  });
  await api.call("POST", "/api/v1/namespaces/default/persistentvolumeclaims", {
    metadata: { name: "data" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  });
  const path = "/apis/apps/v1/namespaces/default/deployments/app";

  await t.test("what needs more GPUs than a node has waits, and the scheduler counts why", async () => {
    await api.apply(path, deployment({ gpus: 3 }));
    await until("the scheduler tells", async () => {
      const [pod] = await pods(api);
      return (
        pod?.status.conditions?.some((one) =>
          /0\/2 nodes.*Insufficient nvidia.com\/gpu/.test(one.message ?? ""),
        ) ?? false
      );
    });
  });

  await t.test("an image that no registry has shows as such", async () => {
    await api.apply(path, deployment({ gpus: 1, image: "example.com/none" }));
    await until("the pull fails", async () =>
      (await waits(api)).some((one) => /ErrImagePull|ImagePullBackOff/.test(one)),
    );
  });

  await t.test(
    "a ready pod answers with its secret, its own user and its volume; its log is read through the server",
    async () => {
      await api.apply(path, deployment({ gpus: 1 }));
      const pod = await ready(api);
      const at = `http://${pod.status.podIP}:8000`;
      assert.equal(await (await fetch(`${at}/secret`)).text(), "opens yes 65534");
      assert.equal(await (await fetch(`${at}/keep`)).text(), "x");
      const log = await api.call<string>("GET", `${PODS}/${pod.metadata.name}/log`);
      assert.match(String(log), /^listening\n/);
      const last = await api.call<string>("GET", `${PODS}/${pod.metadata.name}/log?tailLines=1`);
      assert.equal(String(last), "asked /keep\n");
    },
  );

  await t.test("a killed container is started again, with its reason in the last state", async () => {
    const pod = await ready(api);
    kubelet.faults.outOfMemory(pod.metadata.name);
    await until("it is ready again after one restart", async () => {
      const [seen] = await pods(api);
      const [container] = seen?.status.containerStatuses ?? [];
      return container?.lastState.terminated?.reason === "OOMKilled" && isReady(seen);
    });
  });

  await t.test(
    "a deletion lets an open answer finish, follows the log to its end and keeps the volume",
    async () => {
      const pod = await ready(api);
      const follow = api.call<string>("GET", `${PODS}/${pod.metadata.name}/log?follow=true`);
      const slow = fetch(`http://${pod.status.podIP}:8000/slow`).then((response) => response.text());
      await until("it is asked", async () =>
        String(await api.call("GET", `${PODS}/${pod.metadata.name}/log`)).includes("asked /slow"),
      );
      await api.call("DELETE", `${PODS}/${pod.metadata.name}`);
      assert.equal(await slow, "finished");
      assert.match(String(await follow), /ending\n$/);
      await until(
        "the pod is gone",
        async () => !(await pods(api)).some((one) => one.metadata.uid === pod.metadata.uid),
      );
      const next = await ready(api);
      assert.equal(await (await fetch(`http://${next.status.podIP}:8000/keep`)).text(), "xx");
    },
  );

  await t.test("the pods of a lost node come up on the other", async () => {
    const pod = await ready(api);
    kubelet.faults.loseNode(pod.spec.nodeName ?? "");
    await until("a pod is ready elsewhere", async () =>
      (await pods(api)).some((one) => one.spec.nodeName !== pod.spec.nodeName && isReady(one)),
    );
  });
});

function deployment(options: { gpus: number; image?: string }): object {
  const container = {
    ...{ name: "main", image: options.image ?? "example.com/app:1", command: ["node", "-e", SERVER] },
    env: [{ name: "MINE", value: "yes" }],
    ports: [{ name: "http", containerPort: 8000 }],
    resources: { limits: { "nvidia.com/gpu": String(options.gpus) } },
    startupProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 1, failureThreshold: 30 },
    readinessProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 1 },
    lifecycle: { preStop: { sleep: { seconds: 1 } } },
    securityContext: { readOnlyRootFilesystem: true, runAsUser: 65_534 },
    volumeMounts: [
      { name: "key", mountPath: "/run/app", readOnly: true },
      { name: "data", mountPath: "/data" },
    ],
  };
  return {
    ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "app" } },
    spec: {
      ...{ replicas: 1, strategy: { type: "Recreate" }, selector: { matchLabels: { app: "app" } } },
      template: {
        metadata: { labels: { app: "app" } },
        spec: {
          ...{ nodeSelector: { pool: "h100" }, terminationGracePeriodSeconds: 20, containers: [container] },
          volumes: [
            { name: "key", secret: { secretName: "key" } },
            { name: "data", persistentVolumeClaim: { claimName: "data" } },
          ],
        },
      },
    },
  };
}

async function pods(api: KubeApi): Promise<SeenPod[]> {
  return (await api.call<{ items: SeenPod[] }>("GET", `${PODS}?labelSelector=app%3Dapp`)).items;
}

async function waits(api: KubeApi): Promise<string[]> {
  const states = (await pods(api)).flatMap((one) => one.status.containerStatuses ?? []);
  return states.flatMap(({ state }) => state.waiting?.reason ?? []);
}

function isReady(pod: SeenPod | undefined): boolean {
  const holds = pod?.status.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
  return (holds ?? false) && pod?.metadata.deletionTimestamp === undefined;
}

async function ready(api: KubeApi): Promise<SeenPod> {
  let found: SeenPod | undefined;
  await until("a pod is ready", async () => {
    found = (await pods(api)).find(isReady);
    return found !== undefined;
  });
  return found as SeenPod;
}
