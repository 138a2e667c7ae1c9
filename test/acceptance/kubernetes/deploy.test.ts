/** `POST /v1/models` puts a model into a cluster: the whole program, a real control plane, a real engine behind the gateway. */
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { at, type Json, must, text } from "../../../src/main/quickstart/wire.ts";
import { tinyModel, waitFor } from "../../support/installation.ts";
import { installationWithCluster, leftIn, PLACE, podsOf } from "../../support/kubernetes/installation.ts";
import { until } from "../../support/kubernetes/until.ts";

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

test("a changed model's new replica answers before the old one goes, and no stream is cut by it", async (t) => {
  const { cluster, on, modelPath, token } = await installationWithCluster(t, { drainSeconds: "60" });
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
