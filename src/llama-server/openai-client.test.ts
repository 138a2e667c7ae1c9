import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { QUESTION } from "./testing/chat-client.ts";
import { startEngine, type TestEngine } from "./testing/start-engine.ts";

/** What OpenAI's own client makes of the engine: the judge of compatibility that was not written here. */
let engine: TestEngine;
let client: OpenAI;
before(async () => {
  engine = await startEngine();
  client = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: engine.key, maxRetries: 0 });
});
after(() => engine.stop());

const messages = [{ role: "user" as const, content: QUESTION }];
const parameters = {
  type: "object",
  properties: { city: { type: "string", maxLength: 10 } },
  required: ["city"],
  additionalProperties: false,
};

test("chat, whole and streamed, with the same words", async () => {
  const request = { model: "tiny", messages, temperature: 0, max_tokens: 8 };
  const whole = await client.chat.completions.create(request);
  const stream = await client.chat.completions.create({
    ...request,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let total = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    total = chunk.usage?.total_tokens ?? total;
  }
  assert.equal(text, whole.choices[0]?.message.content);
  assert.equal(total, whole.usage?.total_tokens);
});

test("the stream helper gathers the final message", async () => {
  const runner = client.chat.completions.stream({ model: "tiny", messages, temperature: 0, max_tokens: 8 });
  const message = await runner.finalMessage();
  assert.match(message.content ?? "", /[a-z]/);
});

test("text completions", async () => {
  const answer = await client.completions.create({
    model: "tiny",
    prompt: "the first",
    max_tokens: 4,
    logprobs: 2,
  });
  assert.equal(answer.choices[0]?.logprobs?.tokens?.length, answer.usage?.completion_tokens);
});

test("embeddings, which the client decodes from base64", async () => {
  const answer = await client.embeddings.create({ model: "tiny", input: ["water", "the people"] });
  assert.equal(answer.data.length, 2);
  assert.ok(Math.abs(Math.hypot(...(answer.data[0]?.embedding ?? [])) - 1) < 1e-5);
});

test("a tool call", async () => {
  const answer = await client.chat.completions.create({
    model: "tiny",
    messages,
    tools: [{ type: "function", function: { name: "weather", parameters } }],
    tool_choice: "required",
    max_tokens: 200,
  });
  const call = answer.choices[0]?.message.tool_calls?.[0];
  assert.ok(call?.type === "function");
  assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
});

test("responses, whole and streamed", async () => {
  const request = { model: "tiny", input: QUESTION, temperature: 0, max_output_tokens: 8 };
  const whole = await client.responses.create(request);
  const stream = client.responses.stream(request);
  let text = "";
  stream.on("response.output_text.delta", (event) => {
    text += event.delta;
  });
  const final = await stream.finalResponse();
  assert.equal(text, whole.output_text);
  assert.equal(final.output_text, whole.output_text);
  assert.equal(final.usage?.input_tokens, whole.usage?.input_tokens);
});

test("a tool call in responses, and the answer to its result", async () => {
  const tools = [{ type: "function" as const, name: "weather", parameters, strict: true }];
  const first = await client.responses.create({
    model: "tiny",
    input: QUESTION,
    tools,
    tool_choice: "required",
    max_output_tokens: 200,
  });
  const call = first.output.find((item) => item.type === "function_call");
  assert.ok(call);
  const second = await client.responses.create({
    model: "tiny",
    tools,
    input: [
      { role: "user", content: QUESTION },
      { type: "function_call", call_id: call.call_id, name: call.name, arguments: call.arguments },
      { type: "function_call_output", call_id: call.call_id, output: "sunny" },
    ],
    max_output_tokens: 8,
  });
  assert.ok((second.usage?.input_tokens_details.cached_tokens ?? 0) > 0);
});

test("structured output is parsed by the client", async () => {
  const answer = await client.chat.completions.parse({
    model: "tiny",
    messages,
    max_tokens: 200,
    response_format: {
      type: "json_schema",
      json_schema: { name: "place", strict: true, schema: parameters },
    },
  });
  assert.equal(typeof JSON.parse(answer.choices[0]?.message.content ?? "").city, "string");
});

test("models are listed, and errors become the client's own classes", async () => {
  const names: string[] = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.deepEqual(names, ["tiny", "tiny-alias"]);
  await assert.rejects(client.chat.completions.create({ model: "nope", messages }), OpenAI.NotFoundError);
  await assert.rejects(
    client.chat.completions.create({ model: "tiny", messages, temperature: 9 }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature",
  );
  const stranger = new OpenAI({ baseURL: `${engine.url}/v1`, apiKey: "wrong", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});
