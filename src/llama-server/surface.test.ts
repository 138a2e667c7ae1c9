import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  type ChatClient,
  chat,
  chatClient,
  contentOf,
  QUESTION,
  streamedText,
} from "./testing/chat-client.ts";
import { type Answer, eventsOf, startEngine, type TestEngine } from "./testing/start-engine.ts";

let engine: TestEngine;
let client: ChatClient;
before(async () => {
  engine = await startEngine();
  client = chatClient(engine);
});
after(() => engine.stop());

const WEATHER = {
  type: "function",
  function: {
    name: "weather",
    parameters: {
      type: "object",
      properties: {
        city: { type: "string", maxLength: 20 },
        unit: { enum: ["C", "F"] },
        days: { type: "integer" },
      },
      required: ["city", "unit"],
      additionalProperties: false,
    },
  },
};
test("everything but GET /health needs the key", async () => {
  assert.deepEqual(await (await fetch(`${engine.url}/health`)).json(), { status: "ok" });
  for (const path of ["/v1/models", "/metrics", "/version", "/nowhere"]) {
    for (const headers of [{}, { authorization: "Bearer wrong" }, { authorization: engine.key }]) {
      const response = await fetch(engine.url + path, { headers });
      assert.equal(response.status, 401);
      const { error } = (await response.json()) as Answer;
      assert.equal(error.code, "invalid_api_key");
    }
  }
});

test("a chat answer has OpenAI's shape, its length, and a usage whose parts sum", async () => {
  const response = await engine.fetch("/v1/chat/completions", chat());
  const text = await response.text();
  assert.equal(Number(response.headers.get("content-length")), Buffer.byteLength(text));
  const answer: Answer = JSON.parse(text);
  assert.match(answer.id, /^chatcmpl-/);
  assert.equal(answer.object, "chat.completion");
  assert.equal(answer.model, "tiny");
  assert.equal(answer.choices[0].message.role, "assistant");
  assert.match(contentOf(answer), /[a-z]/);
  const { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details } = answer.usage;
  assert.equal(total_tokens, prompt_tokens + completion_tokens);
  assert.ok(prompt_tokens_details.cached_tokens < prompt_tokens);
});

test("any served name is accepted, and the first one answers", async () => {
  assert.equal((await client.completeChat({ model: "tiny-alias" })).model, "tiny");
  assert.equal((await client.refused("/v1/chat/completions", chat({ model: "nope" }))).status, 404);
  const { error } = await client.refused("/v1/completions", { model: "nope", prompt: "a" });
  assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
});

test("a stream carries the same text as the whole answer, and usage where it was asked for", async () => {
  const whole = await client.completeChat();
  const events = await client.streamChat({ stream_options: { include_usage: true } });
  assert.equal(streamedText(events), contentOf(whole));
  assert.deepEqual(events[0].choices[0].delta, { role: "assistant", content: "" });
  const last = events.at(-1);
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.completion_tokens, whole.usage.completion_tokens);
  assert.equal(events.at(-2).choices[0].finish_reason, whole.choices[0].finish_reason);
  assert.ok(
    (await client.streamChat()).every((event) => event.usage === undefined && event.choices.length === 1),
  );
});

test("tokenize and detokenize undo each other, and count what a chat evaluates", async () => {
  const prompt = "the people say: größer, 水, 😀";
  const told = await client.answered("/tokenize", { model: "tiny", prompt });
  assert.deepEqual([told.count, told.max_model_len], [told.tokens.length, 1_024]);
  assert.equal((await client.answered("/detokenize", { model: "tiny", tokens: told.tokens })).prompt, prompt);
  const { messages } = chat();
  const { count } = await client.answered("/tokenize", { model: "tiny", messages });
  assert.equal(count, (await client.completeChat()).usage.prompt_tokens);
});

test("completions take texts, tokens and lists of them", async () => {
  const one = await client.answered("/v1/completions", {
    model: "tiny",
    prompt: "the first",
    max_tokens: 4,
    temperature: 0,
  });
  assert.equal(one.object, "text_completion");
  const { tokens } = await client.answered("/tokenize", { model: "tiny", prompt: "the first" });
  const same = await client.answered("/v1/completions", {
    model: "tiny",
    prompt: tokens,
    max_tokens: 4,
    temperature: 0,
  });
  assert.equal(same.choices[0].text, one.choices[0].text);
  const list = await client.answered("/v1/completions", {
    model: "tiny",
    prompt: ["the first", "water"],
    max_tokens: 4,
    temperature: 0,
  });
  assert.deepEqual([list.choices[0].text, list.choices.length], [one.choices[0].text, 2]);
  const events = await eventsOf(
    await engine.fetch("/v1/completions", {
      model: "tiny",
      prompt: "the first",
      max_tokens: 4,
      temperature: 0,
      stream: true,
    }),
  );
  assert.equal(events.map((event) => event.choices[0].text).join(""), one.choices[0].text);
});

test("embeddings have length 1, are the same for the same text, and come as floats or base64", async () => {
  const input = ["the first people", "water", "the first people"];
  const floats = await client.answered("/v1/embeddings", { model: "tiny", input });
  const [a, b, c] = floats.data.map((entry: Answer) => entry.embedding);
  assert.ok(Math.abs(Math.hypot(...a) - 1) < 1e-6);
  assert.deepEqual(a, c);
  assert.notDeepEqual(a, b);
  assert.equal(floats.usage.total_tokens, floats.usage.prompt_tokens);
  const encoded = await client.answered("/v1/embeddings", {
    model: "tiny",
    input: input[0],
    encoding_format: "base64",
  });
  const bytes = Buffer.from(encoded.data[0].embedding, "base64");
  assert.ok(Math.abs(bytes.readFloatLE(4) - a[1]) < 1e-6);
  const long = await client.refused("/v1/embeddings", { model: "tiny", input: " water".repeat(600) });
  assert.equal(long.error.code, "context_length_exceeded");
});

test("responses tell the answer, in one piece and as events in OpenAI's order", async () => {
  const request = {
    model: "tiny",
    instructions: "be brief",
    input: QUESTION,
    max_output_tokens: 6,
    temperature: 0,
  };
  const whole = await client.answered("/v1/responses", request);
  const { text } = whole.output[0].content[0];
  assert.equal(whole.usage.total_tokens, whole.usage.input_tokens + whole.usage.output_tokens);
  assert.deepEqual([whole.status, whole.incomplete_details], ["incomplete", { reason: "max_output_tokens" }]);
  const events = await eventsOf(await engine.fetch("/v1/responses", { ...request, stream: true }));
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, index) => index),
  );
  const types = events.map((event) => event.type).filter((type) => type !== "response.output_text.delta");
  assert.deepEqual(types, [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.incomplete",
  ]);
  assert.equal(events.map((event) => event.delta ?? "").join(""), text);
  assert.equal(events.at(-1).response.output[0].content[0].text, text);
});

test("wrong parameters are refused by name", async () => {
  const wrong: [object, string][] = [
    [{ temperature: "hot" }, "temperature"],
    [{ temperature: 3 }, "temperature"],
    [{ top_p: 0 }, "top_p"],
    [{ top_k: 1.5 }, "top_k"],
    [{ min_p: -1 }, "min_p"],
    [{ max_tokens: 0 }, "max_tokens"],
    [{ n: 0 }, "n"],
    [{ stop: [""] }, "stop.0"],
    [{ seed: 0.5 }, "seed"],
    [{ logprobs: 1 }, "logprobs"],
    [{ top_logprobs: 30 }, "top_logprobs"],
    [{ presence_penalty: 9 }, "presence_penalty"],
    [{ logit_bias: { 9999999: 1 } }, "logit_bias"],
    [{ messages: [] }, "messages"],
    [{ messages: "hello" }, "messages"],
    [{ stream: "yes" }, "stream"],
    [{ stream_options: { include_usage: true } }, "stream_options"],
    [{ tools: [WEATHER], tool_choice: { type: "function", function: { name: "none" } } }, "tool_choice"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ response_format: { type: "xml" } }, "response_format.type"],
    [
      { response_format: { type: "json_schema", json_schema: { schema: { type: "string", pattern: "a" } } } },
      "response_format.pattern",
    ],
  ];
  for (const [fields, param] of wrong) {
    const { status, error } = await client.refused("/v1/chat/completions", chat(fields));
    assert.deepEqual(
      [status, error.param, error.type],
      [400, param, "invalid_request_error"],
      JSON.stringify(fields),
    );
  }
  const part = [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }];
  assert.match(
    (await client.refused("/v1/chat/completions", chat({ messages: part }))).error.param,
    /^messages\.0\.content/,
  );
});

test("fields that the engine does not know are ignored", async () => {
  assert.equal(
    contentOf(await client.completeChat({ user: "x", service_tier: "auto", frobnicate: 1 })),
    contentOf(await client.completeChat()),
  );
});

test("broken requests are told apart: JSON, type, size, verb, path", async () => {
  const post = (body: string, type = "application/json") =>
    engine.fetch("/v1/completions", undefined, {
      method: "POST",
      headers: { authorization: `Bearer ${engine.key}`, "content-type": type },
      body,
    });
  assert.equal((await post("{")).status, 400);
  assert.equal((await post("a=b", "application/x-www-form-urlencoded")).status, 415);
  assert.equal((await post(" ".repeat(9 * 1024 * 1024))).status, 413);
  assert.equal((await engine.fetch("/v1/completions")).status, 405);
  assert.equal((await engine.fetch("/v1/nothing")).status, 404);
});

test("who hangs up frees the sequence, and the answer is not generated to its end", async () => {
  const metric = async (name: string) => {
    const text = await (await engine.fetch("/metrics")).text();
    return Number(new RegExp(`^vllm:${name}\\{.*?\\} (\\S+)$`, "m").exec(text)?.[1]);
  };
  const asked = 900;
  const before = await metric("generation_tokens_total");
  const gone = new AbortController();
  const streams = [1, 2, 3].map(async (seed) => {
    const body = JSON.stringify(
      chat({ stream: true, ignore_eos: true, max_tokens: asked, temperature: 1, seed }),
    );
    const headers = { authorization: `Bearer ${engine.key}`, "content-type": "application/json" };
    const response = await fetch(`${engine.url}/v1/chat/completions`, {
      method: "POST",
      headers,
      body,
      signal: gone.signal,
    });
    await response.body?.getReader().read();
  });
  await Promise.all(streams);
  assert.ok((await metric("num_requests_running")) > 0);
  gone.abort();
  // Bounded by looks, not by a clock: a busy machine is slow to tell the engine that a socket closed.
  for (let look = 0; look < 1_000 && (await metric("num_requests_running")) > 0; look++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(await metric("num_requests_running"), 0);
  assert.ok((await metric("generation_tokens_total")) - before < 3 * asked);
  assert.equal((await client.completeChat()).choices.length, 1);
});

test("metrics have vLLM's names", async () => {
  const text = await (await engine.fetch("/metrics")).text();
  for (const name of [
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "prompt_tokens_total",
    "generation_tokens_total",
    "prompt_tokens_cached_total",
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
    'request_success_total{finished_reason="length",',
    "time_to_first_token_seconds_count",
    "inter_token_latency_seconds_bucket",
    "e2e_request_latency_seconds_sum",
  ]) {
    assert.ok(text.includes(`\nvllm:${name}`), name);
  }
});

test("models and version are told", async () => {
  const list = (await (await engine.fetch("/v1/models")).json()) as Answer;
  assert.deepEqual(
    list.data.map((model: Answer) => model.id),
    ["tiny", "tiny-alias"],
  );
  assert.match(((await (await engine.fetch("/version")).json()) as Answer).version, /\d/);
});

test("neither prompts nor answers nor the key are ever logged", async () => {
  const canary = "canary-prompt-93517";
  await client.completeChat({ messages: [{ role: "user", content: canary }] });
  await client.refused("/v1/chat/completions", chat({ messages: [{ role: canary, content: "x" }] }));
  await engine.fetch("/v1/completions", undefined, {
    method: "POST",
    headers: { authorization: `Bearer ${engine.key}`, "content-type": "application/json" },
    body: `{"prompt": "${canary}" broken`,
  });
  assert.ok(engine.log().includes('"event":"generated"'));
  for (const secret of [canary, engine.key, QUESTION]) assert.ok(!engine.log().includes(secret));
});
