/** The test cluster is a real one, and leaves nothing behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { undoAfter } from "../../support/cleanup.ts";
import { isAlive } from "../../support/is-alive.ts";
import { createApi, KubeError } from "../../support/kubernetes/api.ts";
import { startCluster } from "../../support/kubernetes/cluster.ts";
import { until } from "../../support/kubernetes/until.ts";

const DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/one";
const deployment = (extra: object = {}) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "one" },
  spec: {
    selector: { matchLabels: { app: "one" } },
    template: {
      metadata: { labels: { app: "one" } },
      spec: { containers: [{ name: "main", image: "example.com/one" }] },
    },
    ...extra,
  },
});

test("objects are checked, owned by field managers, run by controllers, refused by RBAC, and collected", async (t) => {
  const cluster = await startCluster();
  undoAfter(t, () => cluster.close());
  const { api } = cluster;

  await assert.rejects(
    api.apply(DEPLOYMENT, deployment({ replicaz: 1 })),
    statusIs(500, /replicaz: field not declared/),
  );
  await assert.rejects(api.apply(DEPLOYMENT, deployment({ replicas: -1 })), statusIs(422, /spec\.replicas/));
  await api.apply(DEPLOYMENT, deployment({ replicas: 1 }), "first");
  await assert.rejects(
    api.apply(DEPLOYMENT, deployment({ replicas: 2 }), "second"),
    statusIs(409, /FieldManagerConflict/),
  );

  await until("the pod can't be scheduled, and the scheduler says why", async () => {
    const events = await api.call<{ items: { reason: string; message: string }[] }>(
      "GET",
      "/api/v1/namespaces/default/events",
    );
    return events.items.some((one) => one.reason === "FailedScheduling" && /no nodes/.test(one.message));
  });
  const stranger = await api.call<{ status: { token: string } }>(
    "POST",
    "/api/v1/namespaces/default/serviceaccounts/default/token",
    { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} },
  );
  const asStranger = await createApi(cluster.url, cluster.caFile, stranger.status.token);
  undoAfter(t, () => asStranger.close());
  await assert.rejects(asStranger.call("GET", DEPLOYMENT), statusIs(403, /forbidden/));

  await api.call("DELETE", DEPLOYMENT);
  await until("the pod is collected with its deployment", async () => {
    const pods = await api.call<{ items: unknown[] }>("GET", "/api/v1/namespaces/default/pods");
    return pods.items.length === 0;
  });
});

test("a test that is killed leaves no process and no folder", async () => {
  const main = fileURLToPath(new URL("doomed-cluster.ts", import.meta.url));
  const child = spawn(process.execPath, [main], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
  const { folder, pids } = JSON.parse(line) as { folder: string; pids: number[] };
  child.kill("SIGKILL");
  await until("its programs have ended", async () => pids.every((pid) => !isAlive(pid)));
  await until("its folder is gone", async () => (await stat(folder).catch(() => undefined)) === undefined);
});

function statusIs(status: number, body: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof KubeError && error.status === status && body.test(error.body);
}
