/** A plain Deployment with the real llama.cpp engine, as an operator would write it, answers from its pod. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { tinyGguf } from "../../../src/engines/llama-cpp/index.ts";
import { undoAfter } from "../../support/cleanup.ts";
import type { KubeObject } from "../../support/kubernetes/api.ts";
import { startCluster } from "../../support/kubernetes/cluster.ts";
import { slipwayImage } from "../../support/kubernetes/images.ts";
import { startKubelet } from "../../support/kubernetes/kubelet.ts";
import { until } from "../../support/kubernetes/until.ts";

const NAMESPACE = "/api/v1/namespaces/default";
const KEY = "key-of-the-engine-in-the-pod";
const MAIN = "/app/dist/src/llama-server/main.js";
const CONFIG = {
  ...{ name: "tiny", servedNames: ["tiny"], engineKey: KEY, weightsFiles: ["/weights/tiny.gguf"] },
  ...{ host: "0.0.0.0", port: 8000, options: {}, contextTokens: 512, sequencesMax: 2 },
  ...{ unclaimedExitMs: 600_000, uid: 0, gid: 0 },
};

test("the engine in a pod becomes ready, wants its key, answers, and finds the last turn in its cache", async (t) => {
  const cluster = await startCluster();
  undoAfter(t, () => cluster.close());
  const { api } = cluster;
  const kubelet = await startKubelet(cluster, { nodes: [{ name: "node-a" }], images: () => slipwayImage });
  undoAfter(t, () => kubelet.close());

  await api.call("POST", `${NAMESPACE}/secrets`, {
    ...{ metadata: { name: "engine" }, stringData: { "engine.json": JSON.stringify(CONFIG) } },
  });
  const claim = await api.call("POST", `${NAMESPACE}/persistentvolumeclaims`, {
    metadata: { name: "weights" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  });
  const folder = join(cluster.folder, "claims", claim.metadata.uid);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "tiny.gguf"), tinyGguf({ seed: 1 }));
  await api.apply("/apis/apps/v1/namespaces/default/deployments/engine", deployment());

  const at = `http://${await readyAddress()}:8000`;
  const ask = (messages: readonly object[], key = KEY) =>
    fetch(`${at}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "tiny", messages, max_tokens: 8, temperature: 0 }),
    });
  assert.equal((await ask([{ role: "user", content: "hi" }], "another key, just as long")).status, 401);
  const turns = [{ role: "user", content: "Tell me of the ships in the harbour, one by one." }];
  await ask(turns).then((response) => response.json());
  const second = (await (await ask(turns)).json()) as {
    usage: { completion_tokens: number; prompt_tokens_details: { cached_tokens: number } };
  };
  assert.ok(second.usage.completion_tokens > 0);
  assert.ok(second.usage.prompt_tokens_details.cached_tokens > 0);

  async function readyAddress(): Promise<string> {
    let found = "";
    await until("the engine is ready", async () => {
      const { items } = await api.call<{ items: SeenPod[] }>("GET", `${NAMESPACE}/pods`);
      const ready = items.find(({ status }) =>
        status.conditions?.some((one) => one.type === "Ready" && one.status === "True"),
      );
      found = ready?.status.podIP ?? "";
      return found !== "";
    });
    return found;
  }
});

interface SeenPod extends KubeObject {
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

function deployment(): object {
  const health = { exec: { command: ["sh", "-c", "test -e /weights/tiny.gguf"] } };
  const container = {
    ...{ name: "engine", image: "example.com/slipway:1" },
    command: ["sh", "-c", `exec node ${MAIN} < /run/engine/engine.json`],
    ports: [{ name: "http", containerPort: 8000 }],
    startupProbe: { tcpSocket: { port: "http" }, periodSeconds: 1, failureThreshold: 90 },
    readinessProbe: { ...health, periodSeconds: 2 },
    volumeMounts: [
      { name: "config", mountPath: "/run/engine", readOnly: true },
      { name: "weights", mountPath: "/weights" },
    ],
  };
  return {
    ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "engine" } },
    spec: {
      selector: { matchLabels: { app: "engine" } },
      template: {
        metadata: { labels: { app: "engine" } },
        spec: {
          containers: [container],
          volumes: [
            { name: "config", secret: { secretName: "engine" } },
            { name: "weights", persistentVolumeClaim: { claimName: "weights" } },
          ],
        },
      },
    },
  };
}
