/** `POST /v1/models` puts a model into a cluster: the whole program, a real control plane, a real engine behind the gateway. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import OpenAI from "openai";
import { tinyGguf } from "../../../src/engines/llama-cpp/index.ts";
import { at, type Json, must, text } from "../../../src/main/quickstart/wire.ts";
import { undoAfter } from "../../support/cleanup.ts";
import { type TestInstallation, testInstallation, tinyModel, waitFor } from "../../support/installation.ts";
import { type Cluster, startCluster } from "../../support/kubernetes/cluster.ts";
import { slipwayImage } from "../../support/kubernetes/images.ts";
import { startKubelet } from "../../support/kubernetes/kubelet.ts";
import { NAMESPACE, prepareRegion, REGION } from "../../support/kubernetes/region.ts";
import { until } from "../../support/kubernetes/until.ts";

const NODE = "node-a";
const PLACE = { cloudProvider: "CLOUD_PROVIDER_ONPREM", onpremRegion: REGION };

test("a model in a cluster runs, answers, finds its last prompt in its cache, and leaves nothing when it is deleted", async (t) => {
  const { cluster, on, modelPath, token } = await installationWithCluster(t);
  const body = tinyModel("in a cluster", { modelPath, infra: PLACE });
  const answer = await on.wire({ method: "POST", path: "/v1/models", token, body });
  const modelId = must(answer, "model", "modelId");
  const mine = { ...on, people: { ...on.people, userToken: token } };
  const model = await waitFor(mine, modelId, "RUNNING", 120_000);
  const client = new OpenAI({
    baseURL: text(at(model, "endpoint")),
    apiKey: text(at(model, "apiKey")),
    maxRetries: 0,
  });
  const ask = () =>
    client.chat.completions.create({
      model: text(at(model, "servedName")),
      messages: [{ role: "user", content: "Tell me of the ships in the harbour, one by one." }],
      max_tokens: 8,
    });
  await ask();
  const second = await ask();
  assert.ok((second.usage?.prompt_tokens_details?.cached_tokens ?? 0) > 0);
  await on.wire({ method: "DELETE", path: `/v1/models/${modelId}`, token });
  await until("everything of it is gone", async () => (await leftIn(cluster)) === 0);
});

test("what can't be had there is told before anything is made, with the way out", async (t) => {
  const { on, modelPath, token } = await installationWithCluster(t);
  const problemOf = async (extra: Record<string, Json>) => {
    const answer = await on.wire({
      method: "POST",
      path: "/v1/models:preflight",
      token,
      body: tinyModel("not there", { modelPath, infra: PLACE, ...extra }),
    });
    return JSON.stringify(answer);
  };
  assert.match(
    await problemOf({ infra: { ...PLACE, onpremRegion: "nowhere" } }),
    /PLACE_UNKNOWN.*ONPREM\/rack-1/,
  );
  assert.match(await problemOf({ nodeId: "node-z" }), /NODE_NOT_FOUND.*It has node-a/);
  assert.match(await problemOf({ gpuType: "GPU_TYPE_B200", gpuCount: 1 }), /GPU_TYPE_UNAVAILABLE/);
  assert.match(
    await problemOf({ infra: { cloudProvider: "CLOUD_PROVIDER_LAMBDA" } }),
    /None of that provider is/,
  );
});

interface Place {
  readonly cluster: Cluster;
  readonly on: TestInstallation;
  readonly modelPath: string;
  /** Of a user whose money is not play money: that pays for this machine only. */
  readonly token: string;
}

async function installationWithCluster(t: TestContext, drainSeconds = "5"): Promise<Place> {
  const cluster = await startCluster();
  undoAfter(t, () => cluster.close());
  const kubelet = await startKubelet(cluster, { nodes: [{ name: NODE }], images: () => slipwayImage });
  undoAfter(t, () => kubelet.close());
  const { config } = await prepareRegion(cluster);
  const folder = await mkdtemp(join(tmpdir(), "slipway-node-"));
  undoAfter(t, () => rm(folder, { recursive: true }));
  // The same folder as the node has it, and as the control plane sees it to judge what is in it.
  const onNode = join(cluster.folder, "nodes", NODE, "host", folder);
  await mkdir(onNode, { recursive: true });
  for (const dir of [folder, onNode]) await writeFile(join(dir, "tiny.gguf"), tinyGguf({ seed: 1 }));
  const file = join(folder, "providers.json");
  const kubernetes = { ...config, weights: { kind: "hostPath", path: folder } };
  const regions = [{ provider: "onprem", region: REGION, kubernetes }];
  await writeFile(file, JSON.stringify({ regions }), { mode: 0o600 });
  const settings = { SLIPWAY_WEIGHTS_DIRS: folder, SLIPWAY_DRAIN_MAX_SECONDS: drainSeconds };
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
  return { cluster, on, token, modelPath: `file://${folder}/tiny.gguf` };
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

async function leftIn({ api }: Cluster): Promise<number> {
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

test("a changed model's new replica answers before the old one goes, and no stream is cut by it", async (t) => {
  const { cluster, on, modelPath, token } = await installationWithCluster(t, "60");
  const extra = { modelPath, infra: PLACE, modelSpec: { contextTokens: 4_096 } };
  const body = tinyModel("rolling", extra);
  const modelId = must(
    await on.wire({ method: "POST", path: "/v1/models", token, body }),
    "model",
    "modelId",
  );
  const mine = { ...on, people: { ...on.people, userToken: token } };
  const model = await waitFor(mine, modelId, "RUNNING", 120_000);
  const [baseURL, apiKey, name] = [at(model, "endpoint"), at(model, "apiKey"), at(model, "servedName")].map(
    text,
  );
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
  const [old = ""] = await podsOf(cluster);
  let over = false;
  /** One long stream after the other, so that one runs at every moment of the change. */
  const streams = async () => {
    const endings: (string | null)[] = [];
    while (!over) endings.push(await longStream(client, name ?? ""));
    return endings;
  };
  const running = [streams(), streams()];
  const changed = await fetch(new URL(`/v1/models/${modelId}`, on.apiUrl()), {
    method: "PATCH",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ modelSpec: { contextTokens: 2_048 } }),
  });
  assert.equal(changed.status, 200);
  let together = false;
  await until("the old pod is gone and another is there", async () => {
    const pods = await podsOf(cluster);
    together ||= pods.length === 2 && pods.includes(old);
    return pods.length === 1 && pods[0] !== old;
  });
  over = true;
  const endings = (await Promise.all(running)).flat();
  assert.ok(together, "both were there for a while");
  assert.ok(endings.length >= 2);
  assert.deepEqual(
    endings.filter((reason) => reason !== "length" && reason !== "stop"),
    [],
  );
  await on.wire({ method: "DELETE", path: `/v1/models/${modelId}`, token });
  await until("everything of it is gone", async () => (await leftIn(cluster)) === 0);
});

/** How it ended; what cuts it throws. */
async function longStream(client: OpenAI, model: string): Promise<string | null> {
  const messages = [{ role: "user", content: "Tell a long tale." } as const];
  let ended: string | null = null;
  const stream = await client.chat.completions.create({ model, messages, max_tokens: 1_500, stream: true });
  for await (const piece of stream) ended = piece.choices[0]?.finish_reason ?? ended;
  return ended;
}

async function podsOf({ api }: Cluster): Promise<readonly string[]> {
  const path = `/api/v1/namespaces/${NAMESPACE}/pods`;
  const { items } = await api.call<{ items: { metadata: { name: string } }[] }>("GET", path);
  return items.map((pod) => pod.metadata.name);
}
