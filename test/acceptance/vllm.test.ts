import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import OpenAI from "openai";
import { at, must, text } from "../../src/main/quickstart/wire.ts";
import { receiptOf, testInstallation, tinyModel, waitFor } from "../support/installation.ts";
import { tinySafetensors, vllmPython } from "./vllm-parts.ts";

/** Three processes that each load torch; on two busy cores it took a minute, and its first answer 20 s. */
const START_PATIENCE_MS = 360_000;

test("a real vLLM is deployed, answers every interface, and what its cache saved is billed at zero", async (t) => {
  const python = await vllmPython();
  const folder = await tinySafetensors(python);
  const on = await testInstallation(t, {
    SLIPWAY_WEIGHTS_DIRS: folder.replace(/\/[^/]*$/, ""),
    SLIPWAY_VLLM_COMMAND: `${python} -m vllm.entrypoints.openai.api_server`,
    SLIPWAY_REPLICA_MEMORY_GIB: "10",
  });
  const answer = await on.wire({
    method: "POST",
    path: "/v1/models",
    token: on.people.userToken,
    body: tinyModel("real vllm", { modelPath: `file://${folder}` }),
  });
  const model = await waitFor(on, must(answer, "model", "modelId"), "RUNNING", START_PATIENCE_MS);
  const apiKey = text(at(model, "apiKey"));
  const judged = await on.wire({
    method: "POST",
    path: "/v1/models:preflight",
    token: on.people.userToken,
    body: tinyModel("another", { modelPath: `file://${folder}` }),
  });
  assert.match(text(at(judged, "fit", "measured")), /room for \d+ tokens/);
  const servedName = text(at(model, "servedName"));
  const client = new OpenAI({ baseURL: text(at(model, "endpoint")), apiKey, maxRetries: 0 });

  const plain = await client.completions.create({
    model: servedName,
    prompt: "ships",
    max_tokens: 4,
    temperature: 0,
  });
  assert.equal(plain.usage?.completion_tokens, 4);

  const system = { role: "system" as const, content: "You answer in one short sentence. ".repeat(6) };
  const asked = { role: "user" as const, content: "Name a port." };
  const first = await client.chat.completions.create({
    model: servedName,
    messages: [system, asked],
    max_tokens: 8,
    temperature: 0,
  });
  assert.equal(first.usage?.prompt_tokens_details?.cached_tokens, 0);
  const said = { role: "assistant" as const, content: first.choices[0]?.message.content ?? "" };
  const { data: second, response } = await client.chat.completions
    .create({
      model: servedName,
      messages: [system, asked, said, { role: "user", content: "And another?" }],
      max_tokens: 8,
      temperature: 0,
    })
    .withResponse();
  const cached = second.usage?.prompt_tokens_details?.cached_tokens ?? 0;
  assert.ok(cached >= 192, `${cached} cached`);
  const receipt = await receiptOf(on, response.headers.get("slipway-request-id") ?? "");
  assert.equal(text(at(receipt, "tokens", "cachedTokens")), String(cached));

  const spoken = await client.responses.create({ model: servedName, input: "Hi", max_output_tokens: 8 });
  assert.equal(spoken.usage?.output_tokens, 8);
  const tokens = await fetch(`${on.gatewayUrl()}/tokenize`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model: servedName, prompt: "abc" }),
  });
  assert.equal(tokens.status, 200);
  assert.ok(JSON.stringify(await tokens.json()).includes('"count"'));

  // The key opens the engine's port, so nobody may read it off the list of processes.
  const engine = await engineOf(on.home);
  const shown = await readFile(`/proc/${engine.pid}/cmdline`, "utf8");
  const environment = await readFile(`/proc/${engine.pid}/environ`, "utf8");
  assert.ok(shown.includes("vllm") && !shown.includes(engine.key) && !environment.includes(engine.key));
  const log = await readFile(engine.log, "utf8");
  assert.ok(!log.includes(engine.key) && !log.includes("Name a port"), "neither keys nor prompts are logged");
  const metrics = await fetch(`http://127.0.0.1:${engine.port}/metrics`);
  assert.match(await metrics.text(), /vllm:prefix_cache_hits_total/);
});

async function engineOf(home: string) {
  const [name = ""] = (await readdir(`${home}/replicas`)).filter((one) => one.startsWith("sw-"));
  const folder = `${home}/replicas/${name}`;
  const [pid = ""] = (await readFile(`${folder}/engine.pid`, "utf8")).split(" ");
  const address = JSON.parse(await readFile(`${folder}/address.json`, "utf8")) as { port: number };
  const key = await readFile(`${folder}/engine-key`, "utf8");
  return { pid, key, log: `${folder}/engine.log`, port: address.port };
}
