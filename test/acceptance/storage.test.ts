/** External storage as its owner sees it: a conversation that was paused goes on from the cache, and nobody else's does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { at, type Json, must, text } from "../../src/main/quickstart/wire.ts";
import { deployRunning, type TestInstallation, testInstallation, waitFor } from "../support/installation.ts";

const QUESTION = "tell me about the people of the world and the work that they do every day of the year";
/** Fewer are the chat template's own, which all conversations share. */
const WORTH = 20;
const SWEEP_MAX_MS = 90_000;

/** Asks, and gives how many tokens of the prompt came from the cache, as the bill has it. */
async function ask(url: string, key: string, model: string): Promise<number> {
  const answer = await fetch(`${url}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: QUESTION }], max_tokens: 8 }),
  });
  const body = (await answer.json()) as Json;
  assert.equal(answer.status, 200, JSON.stringify(body));
  return Number(at(body, "usage", "prompt_tokens_details", "cached_tokens"));
}

const askOwn = (model: Json) => ask(must(model, "endpoint"), must(model, "apiKey"), must(model, "modelName"));

const post = (on: TestInstallation, token: string, path: string, body: Json = {}) =>
  on.wire({ method: "POST", path, token, body });

async function pauseAndResume(on: TestInstallation, model: Json): Promise<Json> {
  const id = must(model, "modelId");
  await post(on, on.people.userToken, `/v1/models/${id}:pause`);
  await waitFor(on, id, "PAUSED");
  await post(on, on.people.userToken, `/v1/models/${id}:resume`);
  return waitFor(on, id, "RUNNING");
}

/** Somebody else, with money and a key. */
async function anotherUser(on: TestInstallation) {
  const admin = on.people.adminToken;
  const made = await post(on, admin, "/v1/admin/users", { displayName: "Another" });
  const userId = must(made, "user", "id");
  const amount = { currencyCode: "USD", units: "5", nanos: 0 };
  await post(on, admin, "/v1/admin/billing/balances:add", { targetUserId: userId, amount });
  const key = await post(on, admin, "/v1/users/api-keys", { userId, name: "k" });
  return must(key, "apiKey", "secret");
}

test("a paused conversation goes on from the cache with storage; without it, and for another user, it starts anew", async (t) => {
  const on = await testInstallation(t);
  const { userToken, adminToken } = on.people;
  let model = await deployRunning(on, "kept");
  const id = must(model, "modelId");
  assert.ok((await askOwn(model)) < WORTH);
  model = await pauseAndResume(on, model);
  assert.ok((await askOwn(model)) < WORTH, "without storage nothing outlives a pause");

  await post(on, userToken, "/v1/storage", { tier: "STORAGE_TIER_BRONZE" });
  model = await pauseAndResume(on, model);
  await askOwn(model);
  model = await pauseAndResume(on, model);
  const cached = await askOwn(model);
  assert.ok(cached > WORTH, `${cached} tokens were there after the pause`);

  const publish = {
    servedName: "shared",
    modelId: id,
    inputPricePerMillion: { currencyCode: "USD", units: "1" },
    cachedPricePerMillion: { currencyCode: "USD", units: "0" },
    outputPricePerMillion: { currencyCode: "USD", units: "1" },
    ownerAgreed: true,
  };
  await post(on, adminToken, "/v1/admin/catalog", publish);
  const key = await anotherUser(on);
  assert.ok((await ask(`${on.gatewayUrl()}/v1`, key, "shared")) < WORTH, "another user shares no prefix");

  await usedBytes(on, id);
  await on.wire({ method: "DELETE", path: "/v1/storage", token: userToken });
  model = await pauseAndResume(on, model);
  assert.ok((await askOwn(model)) < WORTH, "what was deleted is not used again");
});

/** Waits until the per-model view shows what is kept. */
async function usedBytes(on: TestInstallation, modelId: string): Promise<void> {
  const deadline = performance.now() + SWEEP_MAX_MS;
  for (;;) {
    const page = await on.wire({ method: "GET", path: "/v1/storage/models", token: on.people.userToken });
    const row = at(page, "models", 0);
    assert.equal(text(at(row, "modelId")), modelId);
    if (Number(text(at(row, "usedBytes"))) > 0) return;
    if (performance.now() > deadline) throw new Error(`nothing is seen: ${JSON.stringify(page)}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
