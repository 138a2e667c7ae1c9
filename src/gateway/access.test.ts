import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { answerJson, answerStream, streamEvents } from "../../test/support/gateway/fault-replica.ts";
import { BELOW, chat, oneModel, SERVED_NAME, type TestGateway } from "../../test/support/gateway/gateway.ts";
import {
  ALICE,
  ALICE_KEY,
  BOB,
  BOB_KEY,
  CATALOGUE_NAME,
  keyOf,
  MODEL,
  MODEL_KEY,
  offerOf,
  routeOf,
} from "../../test/support/gateway/memory-control.ts";

const COMMON = "/v1/chat/completions";
const OTHER_MODEL = "99999999-2222-4333-8444-555555555555";

/** Alice's model is published too, and both have money. */
async function market(t: Parameters<typeof oneModel>[0]) {
  const on = await oneModel(t);
  on.control.offers = [offerOf()];
  for (const user of [ALICE, BOB]) on.control.balances.set(user, 10n ** 9n);
  return on;
}

async function outcome(response: Response): Promise<string> {
  if (response.status === 200) return "200";
  const { error } = (await response.json()) as { error: { code: string } };
  return `${response.status} ${error.code}`;
}

const BELOW_CHAT = `${BELOW}/v1/chat/completions`;

const TABLE: readonly (readonly [string, { key?: string; path: string; model?: string }, string])[] = [
  ["the model's own key below its path", { key: MODEL_KEY, path: BELOW_CHAT }, "200"],
  ["the model's own key on the common base", { key: MODEL_KEY, path: COMMON }, "200"],
  ["the owner's key below the path", { key: ALICE_KEY, path: BELOW_CHAT }, "200"],
  ["the owner's key on the common base", { key: ALICE_KEY, path: COMMON }, "200"],
  ["below the path any name will do", { key: MODEL_KEY, path: BELOW_CHAT, model: "anything" }, "200"],
  ["the owner's own name for it", { key: ALICE_KEY, path: COMMON, model: "mine" }, "200"],
  [
    "the owner's own name is the owner's alone",
    { key: BOB_KEY, path: COMMON, model: "mine" },
    "404 model_not_found",
  ],
  ["a model's key knows no alias", { key: MODEL_KEY, path: COMMON, model: "mine" }, "401 invalid_api_key"],
  ["another's deployment below its path", { key: BOB_KEY, path: BELOW_CHAT }, "404 model_not_found"],
  ["another's deployment by its name", { key: BOB_KEY, path: COMMON }, "404 model_not_found"],
  ["a catalogue name with anybody's key", { key: BOB_KEY, path: COMMON, model: CATALOGUE_NAME }, "200"],
  [
    "a model's key opens that model only",
    { key: MODEL_KEY, path: COMMON, model: CATALOGUE_NAME },
    "401 invalid_api_key",
  ],
  [
    "a model's key below another's path",
    { key: MODEL_KEY, path: `/m/${OTHER_MODEL}/v1/chat/completions` },
    "401 invalid_api_key",
  ],
  [
    "a model that is not there",
    { key: ALICE_KEY, path: `/m/${OTHER_MODEL}/v1/chat/completions` },
    "404 model_not_found",
  ],
  ["no model named", { key: ALICE_KEY, path: COMMON, model: "" }, "404 model_not_found"],
  ["a key that nobody made", { key: "sk-nobody", path: COMMON }, "401 invalid_api_key"],
  ["no key", { path: COMMON }, "401 missing_api_key"],
];

for (const [what, { key, path, model }, wanted] of TABLE) {
  test(`access: ${what} → ${wanted}`, async (t) => {
    const on = await market(t);
    const more = { max_tokens: 16, ...(model === undefined ? {} : { model }) };
    const init = key === undefined ? { headers: { authorization: "" } } : { key };
    assert.equal(await outcome(await chat(on, more, { path, ...init })), wanted);
  });
}

test("the engine is asked by its own name for the model and with its own key, whatever the client used", async (t) => {
  const on = await market(t);
  for (const model of [SERVED_NAME, "mine", CATALOGUE_NAME]) {
    await (await chat(on, { model, max_tokens: 16 }, { key: ALICE_KEY, path: COMMON })).text();
    const asked = on.replica.asked.at(-1);
    assert.equal(JSON.parse(asked?.body.toString() ?? "").model, SERVED_NAME);
    assert.equal(asked?.headers.authorization, `Bearer ${on.replica.route.engineKey}`);
    assert.equal(asked?.path, "/v1/chat/completions");
  }
});

test("one's own name for a deployment goes before the catalogue's, and costs nothing", async (t) => {
  const on = await market(t);
  on.control.offers = [offerOf({ servedName: "mine" })];
  await (await chat(on, { model: "mine", max_tokens: 16 }, { key: ALICE_KEY, path: COMMON })).text();
  await (await chat(on, { model: "mine", max_tokens: 16 }, { key: BOB_KEY, path: COMMON })).text();
  const records = await on.shipped(2);
  assert.deepEqual(
    records.map(({ userId, priceVersionId }) => [userId, priceVersionId]),
    [
      [ALICE, null],
      [BOB, "price-1"],
    ],
  );
});

test("a key's end, its user's and its scopes are honoured", async (t) => {
  const on = await market(t);
  const ask = async (key: string, model: string) =>
    outcome(await chat(on, { model, max_tokens: 16 }, { key, path: COMMON }));
  const keys = {
    "sk-past": { expiresAt: new Date(Date.now() - 1_000) },
    "sk-future": { expiresAt: new Date(Date.now() + 60_000) },
    "sk-disabled": { disabled: true },
    "sk-catalogue": { scopes: ["catalog"] },
    "sk-model": { scopes: [`model:${MODEL}`] },
  };
  for (const [secret, more] of Object.entries(keys)) on.control.addKey(secret, keyOf(ALICE, more));
  assert.equal(await ask("sk-past", SERVED_NAME), "401 expired_api_key");
  assert.equal(await ask("sk-future", SERVED_NAME), "200");
  assert.equal(await ask("sk-disabled", SERVED_NAME), "403 user_disabled");
  assert.equal(await ask("sk-catalogue", SERVED_NAME), "403 scope_missing");
  assert.equal(await ask("sk-catalogue", CATALOGUE_NAME), "200");
  assert.equal(await ask("sk-model", SERVED_NAME), "200");
  assert.equal(await ask("sk-model", CATALOGUE_NAME), "403 scope_missing");
});

const listed = async (on: TestGateway, path: string, key?: string) => {
  const response = await fetch(
    `${on.url}${path}`,
    key ? { headers: { authorization: `Bearer ${key}` } } : {},
  );
  assert.equal(response.status, 200);
  const list = (await response.json()) as { object: string; data: { id: string; object: string }[] };
  assert.equal(list.object, "list");
  return list.data.map(({ id }) => id);
};

test("models, health and version are open; a key adds what its user owns", async (t) => {
  const on = await market(t);
  assert.deepEqual(await listed(on, "/v1/models"), [CATALOGUE_NAME]);
  assert.deepEqual(await listed(on, "/v1/models", ALICE_KEY), [CATALOGUE_NAME, SERVED_NAME]);
  assert.deepEqual(await listed(on, "/v1/models", BOB_KEY), [CATALOGUE_NAME]);
  assert.deepEqual(await listed(on, "/v1/models", MODEL_KEY), [CATALOGUE_NAME]);
  assert.deepEqual(await listed(on, "/v1/models", "sk-nobody"), [CATALOGUE_NAME]);
  assert.deepEqual(await listed(on, `${BELOW}/v1/models`, MODEL_KEY), [SERVED_NAME]);
  assert.deepEqual(await listed(on, `${BELOW}/v1/models`, ALICE_KEY), [SERVED_NAME]);
  assert.equal((await fetch(`${on.url}${BELOW}/v1/models`)).status, 401);
  const bob = { headers: { authorization: `Bearer ${BOB_KEY}` } };
  assert.equal((await fetch(`${on.url}${BELOW}/v1/models`, bob)).status, 404);
  for (const path of ["/health", `${BELOW}/health`])
    assert.deepEqual(await (await fetch(`${on.url}${path}`)).json(), { status: "ok" });
  for (const path of ["/version", `${BELOW}/version`])
    assert.deepEqual(await (await fetch(`${on.url}${path}`)).json(), { version: "1.2.3" });
});

test("a model's health tells whether it serves, and why not to nobody but its owner", async (t) => {
  const on = await market(t);
  on.control.routes = [
    routeOf([], { retryAfterMs: 3_000, reason: "WEIGHTS_GATED", message: "Secret words." }),
  ];
  const response = await fetch(`${on.url}${BELOW}/health`);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("retry-after"), "3");
  const text = await response.text();
  assert.ok(!text.includes("Secret words") && !text.includes("WEIGHTS_GATED"));
  assert.equal((await fetch(`${on.url}/m/${OTHER_MODEL}/health`)).status, 404);
});

test("the OpenAI SDK works by the model's own base and by the common one", async (t) => {
  const on = await market(t);
  const clients = [
    [new OpenAI({ baseURL: `${on.url}${BELOW}/v1`, apiKey: MODEL_KEY, maxRetries: 0 }), SERVED_NAME],
    [new OpenAI({ baseURL: `${on.url}/v1`, apiKey: BOB_KEY, maxRetries: 0 }), CATALOGUE_NAME],
  ] as const;
  for (const [client, model] of clients) {
    const question = { model, messages: [{ role: "user" as const, content: "hi" }], max_tokens: 16 };
    const answer = await client.chat.completions.create(question);
    assert.equal(answer.choices[0]?.message.content, "words");
    on.replica.behave = answerStream(streamEvents(3));
    let words = "";
    for await (const event of await client.chat.completions.create({ ...question, stream: true })) {
      assert.equal(event.usage ?? null, null);
      words += event.choices[0]?.delta.content ?? "";
    }
    assert.equal(words, " w0 w1 w2");
    let usage = 0;
    const asking = { ...question, stream: true as const, stream_options: { include_usage: true } };
    for await (const event of await client.chat.completions.create(asking))
      usage += event.usage?.total_tokens ?? 0;
    assert.equal(usage, 25);
    on.replica.behave = answerJson();
  }
  const [, [common]] = clients;
  const missing = common.chat.completions.create({ model: "not-there", messages: [] });
  await assert.rejects(
    missing,
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
  );
});

test("tokenize and detokenize go to the engine and cost nothing", async (t) => {
  const on = await market(t);
  on.control.balances.clear();
  for (const path of ["/tokenize", "/detokenize"]) {
    assert.equal((await chat(on, { prompt: "hi" }, { path: `${BELOW}${path}` })).status, 200);
    assert.equal((await chat(on, { model: CATALOGUE_NAME }, { path, key: BOB_KEY })).status, 200);
  }
  const records = await on.shipped(4);
  assert.ok(
    records.every((record) => record.promptTokens + record.completionTokens === 0 && !record.sliceId),
  );
});
