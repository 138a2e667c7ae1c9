import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type ChatClient, chat, chatClient, contentOf, streamedText } from "./testing/chat-client.ts";
import { type Answer, startEngine, type TestEngine } from "./testing/start-engine.ts";

let engine: TestEngine;
let client: ChatClient;
before(async () => {
  engine = await startEngine();
  client = chatClient(engine);
});
after(() => engine.stop());

test("streams that run together each get their own answer", async () => {
  const questions = ["the first", "some other people", "what is water"].map((content) => [
    { role: "user", content },
  ]);
  const alone: string[] = [];
  for (const messages of questions) alone.push(contentOf(await client.completeChat({ messages })));
  const together = await Promise.all(questions.map((messages) => client.streamChat({ messages })));
  assert.deepEqual(
    together.map((events) => streamedText(events)),
    alone,
  );
});

test("a second turn evaluates only what the first did not", async () => {
  const salt = { cache_salt: "second turn" };
  const first = await client.completeChat(salt);
  assert.equal(first.usage.prompt_tokens_details.cached_tokens, 0);
  const messages = [
    ...chat().messages,
    { role: "assistant", content: contentOf(first) },
    { role: "user", content: "and what more" },
  ];
  const second = await client.completeChat({ ...salt, messages });
  const cached = second.usage.prompt_tokens_details.cached_tokens;
  // all of the first prompt and what was evaluated of its answer; the last chosen token never was
  assert.equal(cached, first.usage.prompt_tokens + first.usage.completion_tokens - 1);
});

test("what one salt cached, another never gets", async () => {
  await client.completeChat({ cache_salt: "tenant a" });
  const other = await client.completeChat({ cache_salt: "tenant b" });
  assert.equal(other.usage.prompt_tokens_details.cached_tokens, 0);
});

test("an answer does not depend on what was cached", async () => {
  for (const fields of [
    {},
    { temperature: 1, seed: 7 },
    { temperature: 0.7, top_p: 0.9, top_k: 20, min_p: 0.01, seed: 9 },
  ]) {
    const cold = await client.completeChat({ ...fields, cache_salt: `cold ${JSON.stringify(fields)}` });
    const cached = await client.completeChat({ ...fields, cache_salt: `cold ${JSON.stringify(fields)}` });
    assert.equal(cold.usage.prompt_tokens_details.cached_tokens, 0);
    assert.equal(cached.usage.prompt_tokens_details.cached_tokens, cached.usage.prompt_tokens - 1);
    assert.equal(contentOf(cached), contentOf(cold));
  }
});

test("another seed draws other words", async () => {
  const texts = await Promise.all(
    [1, 2].map(async (seed) =>
      contentOf(await client.completeChat({ temperature: 1.5, seed, max_tokens: 10 })),
    ),
  );
  assert.notEqual(texts[0], texts[1]);
});

test("a stop text that spans tokens ends the answer and is never sent", async () => {
  const text = contentOf(await client.completeChat({ max_tokens: 10 }));
  const middle = text.indexOf(" ", text.length / 2);
  const stop = text.slice(middle - 2, middle + 3);
  const expected = text.slice(0, text.indexOf(stop));
  const whole = await client.completeChat({ max_tokens: 10, stop: ["never said", stop] });
  assert.deepEqual([contentOf(whole), whole.choices[0].finish_reason], [expected, "stop"]);
  assert.equal(whole.choices[0].stop_reason, stop);
  assert.equal(streamedText(await client.streamChat({ max_tokens: 10, stop })), expected);
});

test("max_tokens ends an answer with finish_reason length", async () => {
  for (const fields of [{ max_tokens: 3 }, { max_tokens: 50, max_completion_tokens: 3 }]) {
    const answer = await client.completeChat(fields);
    assert.equal(answer.choices[0].finish_reason, "length");
    assert.equal(answer.usage.completion_tokens, 3);
  }
});

test("an answer ends where the context does, and a prompt beyond it is refused with the numbers", async () => {
  const long = await client.completeChat({ max_tokens: 5_000, ignore_eos: true });
  assert.equal(long.usage.total_tokens, 1_024);
  assert.equal(long.choices[0].finish_reason, "length");
  const { status, error } = await client.refused("/v1/completions", {
    model: "tiny",
    prompt: " water".repeat(1_100),
  });
  assert.deepEqual([status, error.code, error.param], [400, "context_length_exceeded", "prompt"]);
  assert.match(error.message, /1101 tokens.*1024/);
  const huge = await client.refused("/v1/completions", { model: "tiny", prompt: "a".repeat(1_000_000) });
  assert.equal(huge.error.code, "context_length_exceeded");
});

test("n gives so many choices, each its own", async () => {
  const answer = await client.completeChat({ n: 3, temperature: 1.5, seed: 1 });
  assert.deepEqual(
    answer.choices.map((choice: Answer) => choice.index),
    [0, 1, 2],
  );
  assert.equal(new Set(answer.choices.map((choice: Answer) => choice.message.content)).size, 3);
  const events = await client.streamChat({ n: 2, temperature: 1.5, seed: 1 });
  assert.equal(streamedText(events, 1), answer.choices[1].message.content);
  const { error } = await client.refused("/v1/chat/completions", chat({ n: 2 }));
  assert.equal(error.param, "n");
});

test("log probabilities tell the chosen token and its best alternatives", async () => {
  const answer = await client.completeChat({ logprobs: true, top_logprobs: 3, max_tokens: 5 });
  const { content } = answer.choices[0].logprobs;
  assert.equal(content.length, 5);
  assert.equal(content.map((entry: Answer) => entry.token).join(""), contentOf(answer));
  for (const entry of content) {
    const logprobs = entry.top_logprobs.map((top: Answer) => top.logprob);
    assert.deepEqual([logprobs.length, entry.top_logprobs[0].token], [3, entry.token]);
    assert.deepEqual(
      [...logprobs].sort((a, b) => b - a),
      logprobs,
    );
    assert.ok(logprobs.map(Math.exp).reduce((sum: number, p: number) => sum + p) <= 1.000001);
    assert.deepEqual(Buffer.from(entry.bytes).toString("utf8"), entry.token);
  }
});

test("log probabilities at temperature 0 and 1 are the model's own", async () => {
  const prompt = { model: "tiny", prompt: "the first people", max_tokens: 1, logprobs: 5 };
  const topOf = async (temperature: number) =>
    (await client.answered("/v1/completions", { ...prompt, temperature })).choices[0].logprobs
      .top_logprobs[0];
  const [greedy, drawn] = [await topOf(0), await topOf(1)];
  assert.deepEqual(Object.keys(drawn), Object.keys(greedy));
  for (const token of Object.keys(greedy)) assert.ok(Math.abs(greedy[token] - drawn[token]) < 1e-4);
});

test("asking for log probabilities does not change a greedy answer, and a seed repeats a drawn one", async () => {
  assert.equal(
    contentOf(await client.completeChat({ logprobs: true, top_logprobs: 2 })),
    contentOf(await client.completeChat()),
  );
  const drawn = { logprobs: true, temperature: 1.2, seed: 5 };
  assert.equal(contentOf(await client.completeChat(drawn)), contentOf(await client.completeChat(drawn)));
  assert.notEqual(
    contentOf(await client.completeChat(drawn)),
    contentOf(await client.completeChat({ ...drawn, seed: 6 })),
  );
});

test("log probabilities under a grammar count what it allows", async () => {
  const schema = { enum: ["water", "wood"] };
  const answer = await client.completeChat({
    response_format: { type: "json_schema", json_schema: { schema } },
    logprobs: true,
    top_logprobs: 2,
    max_tokens: 20,
  });
  const { content } = answer.choices[0].logprobs;
  assert.equal(content.map((entry: Answer) => entry.token).join(""), contentOf(answer));
  assert.ok(content.every((entry: Answer) => entry.logprob <= 0 && entry.logprob > -20));
});

test("penalties keep a model from repeating itself", async () => {
  const repeats = async (fields: object) => {
    const words = contentOf(await client.completeChat({ max_tokens: 60, ignore_eos: true, ...fields })).split(
      " ",
    );
    return words.length - new Set(words).size;
  };
  const free = await repeats({});
  for (const fields of [{ frequency_penalty: 2, presence_penalty: 2 }, { repetition_penalty: 2 }]) {
    assert.ok((await repeats(fields)) < free);
  }
});

test("logit_bias forbids a token and makes another one win", async () => {
  const { tokens } = await client.answered("/tokenize", {
    model: "tiny",
    prompt: " water",
    add_special_tokens: false,
  });
  const [water] = tokens;
  const forced = await client.completeChat({ logit_bias: { [water]: 100 }, max_tokens: 3 });
  assert.equal(contentOf(forced), " water water water");
  const first = (await client.completeChat({ logprobs: true, max_tokens: 1 })).choices[0].logprobs.content[0]
    .token;
  const { tokens: banned } = await client.answered("/tokenize", {
    model: "tiny",
    prompt: first,
    add_special_tokens: false,
  });
  assert.notEqual(
    contentOf(await client.completeChat({ logit_bias: { [banned[0]]: -100 }, max_tokens: 1 })),
    first,
  );
});
