/** A real vLLM in a pod: deployed by the whole program, answering every interface through the gateway, what it found billed at zero. */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import OpenAI from "openai";
import { at, must, text } from "../../../src/main/quickstart/wire.ts";
import { receiptOf, tinyModel, waitFor } from "../../support/installation.ts";
import { installationWithCluster, leftIn, PLACE } from "../../support/kubernetes/installation.ts";
import { until } from "../../support/kubernetes/until.ts";
import { tinySafetensors, vllmPython } from "../vllm-parts.ts";

/** Three processes that each load torch, and a first answer; on busy cores minutes. */
const START_PATIENCE_MS = 420_000;

test("a real vLLM in a pod answers chat, completions, responses and tokenize, and finds the last turn in its cache", async (t) => {
  const python = await vllmPython();
  const weights = await tinySafetensors(python);
  const { cluster, on, folder, token } = await installationWithCluster(t, {
    // What it may use for its cache is planned from what the node has.
    capacity: { cpu: "4", memory: "10Gi" },
    images: () => ({}),
    engines: { vllm: { image: "vllm-cpu", executable: python } },
    fill: (dir) => cp(weights, join(dir, "tiny-llama"), { recursive: true }),
  });
  const extra = { modelPath: `file://${folder}/tiny-llama`, infra: PLACE };
  const body = tinyModel("real vllm in a pod", extra);
  const answer = await on.wire({ method: "POST", path: "/v1/models", token, body });
  const modelId = must(answer, "model", "modelId");
  const mine = { ...on, people: { ...on.people, userToken: token } };
  const found = await waitFor(mine, modelId, "RUNNING", START_PATIENCE_MS);
  const [baseURL = "", apiKey = "", model = ""] = ["endpoint", "apiKey", "servedName"].map((field) =>
    text(at(found, field)),
  );
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

  const plain = await client.completions.create({ model, prompt: "ships", max_tokens: 4, temperature: 0 });
  assert.equal(plain.usage?.completion_tokens, 4);
  const system = { role: "system", content: "You answer in one short sentence. ".repeat(6) } as const;
  const asked = { role: "user", content: "Name a port." } as const;
  const common = { model, max_tokens: 8, temperature: 0 };
  const first = await client.chat.completions.create({ ...common, messages: [system, asked] });
  const said = { role: "assistant", content: first.choices[0]?.message.content ?? "" } as const;
  const again = { role: "user", content: "And another?" } as const;
  const { data: second, response } = await client.chat.completions
    .create({ ...common, messages: [system, asked, said, again] })
    .withResponse();
  const cached = second.usage?.prompt_tokens_details?.cached_tokens ?? 0;
  assert.ok(cached > 0);
  const receipt = await receiptOf(mine, response.headers.get("slipway-request-id") ?? "");
  assert.equal(text(at(receipt, "tokens", "cachedTokens")), String(cached));
  const spoken = await client.responses.create({ model, input: "Hi", max_output_tokens: 8 });
  assert.equal(spoken.usage?.output_tokens, 8);
  const tokens = await fetch(`${on.gatewayUrl()}/tokenize`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model, prompt: "abc" }),
  });
  assert.match(await tokens.text(), /"count"/);
  const { items } = await cluster.api.call<{ items: { status: { podIP: string } }[] }>("GET", "/api/v1/pods");
  const metrics = await fetch(`http://${items[0]?.status.podIP}:8000/metrics`);
  assert.match(await metrics.text(), /vllm:prefix_cache_hits_total/);

  await on.wire({ method: "DELETE", path: `/v1/models/${modelId}`, token });
  await until("everything of it is gone", async () => (await leftIn(cluster)) === 0);
});
