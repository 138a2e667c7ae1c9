/** `POST /v1/models` has a machine at Lambda: the whole program, the fake of its API, the real agent, real tokens over pinned TLS. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import OpenAI from "openai";
import { at, type Json, must, text } from "../../../src/main/quickstart/wire.ts";
import { type TestInstallation, testInstallation, waitFor } from "../../support/installation.ts";
import { until } from "../../support/kubernetes/until.ts";
import { type Account, lambdaAccount, REGION } from "../../support/lambda/account.ts";
import { command } from "../../support/program.ts";
import { tempDir } from "../../support/weights.ts";

const MODEL = {
  modelName: "on a rented machine",
  modelPath: "org/tiny",
  infra: { cloudProvider: "CLOUD_PROVIDER_LAMBDA", lambdaRegion: "LAMBDA_REGION_US_EAST_1" },
  gpuType: "GPU_TYPE_H100",
  gpuCount: 1,
  kvCacheEnabled: true,
  modelSpec: { contextTokens: 512 },
};

test("a model at Lambda runs, answers through the gateway, finds its last prompt in its cache, and its machine goes with it", async (t) => {
  const { account, on, token } = await installationWithAccount(t);
  const answer = await on.wire({ method: "POST", path: "/v1/models", token, body: MODEL });
  const modelId = must(answer, "model", "modelId");
  const mine = { ...on, people: { ...on.people, userToken: token } };
  const model = await waitFor(mine, modelId, "RUNNING", 120_000);
  const client = new OpenAI({
    baseURL: text(at(model, "endpoint")),
    apiKey: text(at(model, "apiKey")),
    maxRetries: 0,
  });
  const ask = (content: string) =>
    client.chat.completions.create({
      model: text(at(model, "servedName")),
      messages: [{ role: "user", content }],
      max_tokens: 8,
    });
  const [first, second] = [await ask("Tell me of the ships."), await ask("Tell me of the ships.")];
  assert.ok((first.choices[0]?.message.content ?? "") !== "");
  assert.ok((second.usage?.prompt_tokens_details?.cached_tokens ?? 0) > 0);
  assert.equal(account.fake.alive().length, 1);
  await on.wire({ method: "DELETE", path: `/v1/models/${modelId}`, token });
  await until("its machine is given back", async () => account.fake.alive().length === 0);
  assert.equal(account.fake.launches.length, 1, "there never was a second one");
});

test("a machine that Lambda takes away is replaced by one other, and the model answers again", async (t) => {
  const { account, on, token } = await installationWithAccount(t);
  const answer = await on.wire({ method: "POST", path: "/v1/models", token, body: MODEL });
  const modelId = must(answer, "model", "modelId");
  const mine = { ...on, people: { ...on.people, userToken: token } };
  await waitFor(mine, modelId, "RUNNING", 120_000);
  const [first] = account.fake.alive();
  assert.ok(first);
  await account.fake.destroy(first.id);
  await until("another is launched", async () => account.fake.launches.length === 2, 120_000);
  const model = await waitFor(mine, modelId, "RUNNING", 120_000);
  const client = new OpenAI({ baseURL: text(at(model, "endpoint")), apiKey: text(at(model, "apiKey")) });
  const messages = [{ role: "user" as const, content: "Are you there?" }];
  const { choices } = await client.chat.completions.create({
    model: text(at(model, "servedName")),
    messages,
    max_tokens: 4,
  });
  assert.equal(choices.length, 1);
  assert.equal(account.fake.alive().length, 1);
  await on.wire({ method: "DELETE", path: `/v1/models/${modelId}`, token });
  await until("its machine is given back", async () => account.fake.alive().length === 0);
});

test("what Lambda can't give is told before anything is launched, and doctor reads the account only", async (t) => {
  const { account, on, token, env } = await installationWithAccount(t);
  const problemOf = async (extra: Record<string, Json>) => {
    const body = { ...MODEL, ...extra };
    return JSON.stringify(await on.wire({ method: "POST", path: "/v1/models:preflight", token, body }));
  };
  assert.match(await problemOf({ gpuType: "GPU_TYPE_H200" }), /GPU_TYPE_UNAVAILABLE/);
  const elsewhere = { ...MODEL.infra, lambdaRegion: "LAMBDA_REGION_ME_WEST_1" };
  assert.match(await problemOf({ infra: elsewhere }), /PLACE_UNKNOWN.*LAMBDA\/us-east-1/);
  account.fake.seen.length = 0;
  const { output } = await command(t, ["doctor", "--provider", "lambda"], env);
  assert.match(output, /ok .*lambda: account/);
  assert.match(output, /ok .*lambda: us-east-1.*1 × H100 as gpu_1x_h100_pcie for 3\.29 USD an hour/);
  assert.deepEqual(
    account.fake.seen.filter((call) => !call.startsWith("GET ")),
    [],
  );
});

interface Place {
  readonly account: Account;
  readonly on: TestInstallation;
  readonly env: Readonly<Record<string, string>>;
  /** Of a user whose money is not play money: that pays for this machine only. */
  readonly token: string;
}

async function installationWithAccount(t: TestContext): Promise<Place> {
  const account = await lambdaAccount(t);
  const { apiKeyFile, endpoint, port, hub } = account;
  const file = join(await tempDir(t), "providers.json");
  const lambda = { apiKeyFile, endpoint, port, regions: [REGION], engines: { vllm: { image: "vllm:test" } } };
  await writeFile(file, JSON.stringify({ lambda }), { mode: 0o600 });
  const settings = {
    SLIPWAY_DRAIN_MAX_SECONDS: "5",
    HF_ENDPOINT: hub.endpoint,
    SLIPWAY_HUB_HOSTS: hub.hosts.join(","),
  };
  const on = await testInstallation(t, settings);
  const env = { ...on.env, SLIPWAY_PROVIDERS_FILE: file, SLIPWAY_PAYMENTS: "off" };
  await on.restart(env);
  const hourlyRate = { currencyCode: "USD", units: "4" };
  const price = {
    cloudProvider: "CLOUD_PROVIDER_LAMBDA",
    region: REGION,
    gpuType: "GPU_TYPE_H100",
    hourlyRate,
  };
  const { adminToken } = on.people;
  await on.wire({ method: "POST", path: "/v1/admin/billing/gpu-pricing", token: adminToken, body: price });
  return { account, on, env, token: await userWithCredit(on) };
}

async function userWithCredit(on: TestInstallation): Promise<string> {
  const post = (path: string, body: Json) =>
    on.wire({ method: "POST", path: `/v1/admin/${path}`, token: on.people.adminToken, body });
  const user = await post("users", { displayName: "Second user", userRole: "USER_ROLE_USER" });
  const userId = must(user, "user", "id");
  await post("billing/balances:add", {
    targetUserId: userId,
    amount: { currencyCode: "USD", units: "50" },
    description: "for a rented machine",
  });
  return must(await post("access-tokens", { userId, name: "lambda" }), "secret");
}
