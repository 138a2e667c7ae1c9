import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import OpenAI from "openai";
import { at, type Json, must, text } from "../../src/main/quickstart/wire.ts";
import { deployRunning, testInstallation } from "../support/installation.ts";

const QUESTION = [{ role: "user" as const, content: "the first people" }];

test("a deployed model answers every OpenAI client by its base URL and key alone", async (t) => {
  const on = await testInstallation(t);
  const model = await deployRunning(on, "mine");
  const baseURL = must(model, "endpoint");
  const apiKey = must(model, "apiKey");
  const served = must(model, "servedName");

  await t.test("the OpenAI SDK: chat, stream, completions, models, embeddings", async () => {
    const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
    const chat = await client.chat.completions.create({
      model: served,
      messages: QUESTION,
      max_tokens: 8,
      temperature: 0,
    });
    assert.ok((chat.choices[0]?.message.content ?? "").length > 0);
    assert.equal(
      chat.usage?.total_tokens,
      (chat.usage?.prompt_tokens ?? 0) + (chat.usage?.completion_tokens ?? 0),
    );

    const stream = await client.chat.completions.create({
      model: served,
      messages: QUESTION,
      max_tokens: 8,
      temperature: 0,
      stream: true,
    });
    let streamed = "";
    for await (const chunk of stream) {
      assert.equal(chunk.usage ?? null, null, "no usage frame where none was asked for");
      streamed += chunk.choices[0]?.delta.content ?? "";
    }
    assert.equal(streamed, chat.choices[0]?.message.content);

    const again = await client.chat.completions.create({
      model: served,
      messages: QUESTION,
      max_tokens: 8,
      temperature: 0,
    });
    const cached = again.usage?.prompt_tokens_details?.cached_tokens ?? 0;
    assert.ok(
      cached > 0 && cached < (again.usage?.prompt_tokens ?? 0),
      "the shared prefix was not evaluated again",
    );

    const completion = await client.completions.create({ model: served, prompt: "the first", max_tokens: 4 });
    assert.ok((completion.choices[0]?.text ?? "").length > 0);
    const models = await client.models.list();
    assert.ok(models.data.some((one) => one.id === served));
    const embedding = await client.embeddings.create({
      model: served,
      input: "harbour",
      encoding_format: "float",
    });
    assert.ok((embedding.data[0]?.embedding.length ?? 0) > 0);
  });

  await t.test(
    "the OpenAI SDK on the common base URL, with the user's key and the owner's alias",
    async () => {
      const client = new OpenAI({
        baseURL: `${on.gatewayUrl()}/v1`,
        apiKey: on.people.userKey,
        maxRetries: 0,
      });
      for (const name of [served, "mine"]) {
        const chat = await client.chat.completions.create({ model: name, messages: QUESTION, max_tokens: 4 });
        assert.ok(chat.choices[0]);
      }
    },
  );

  await t.test("the Vercel AI SDK: text and stream", async () => {
    const provider = createOpenAICompatible({ name: "slipway", baseURL, apiKey, includeUsage: true });
    const answer = await generateText({
      model: provider(served),
      prompt: "the first people",
      maxOutputTokens: 8,
    });
    assert.ok(answer.text.length > 0);
    const stream = streamText({ model: provider(served), prompt: "the first people", maxOutputTokens: 8 });
    let words = "";
    for await (const part of stream.textStream) words += part;
    assert.ok(words.length > 0);
    assert.ok(((await stream.usage).inputTokens ?? 0) > 0);
  });

  await t.test("curl", async () => {
    const { stdout } = await promisify(execFile)("curl", [
      "-sS",
      `${baseURL}/chat/completions`,
      "-H",
      `Authorization: Bearer ${apiKey}`,
      "-H",
      "Content-Type: application/json",
      "-d",
      JSON.stringify({ model: served, messages: QUESTION, max_tokens: 4 }),
    ]);
    const answer = JSON.parse(stdout) as Json;
    assert.ok(text(at(answer, "choices", 0, "message", "content")).length > 0);
  });

  await t.test("X-User-Id grants nothing: another user's id on a deployment is refused", async () => {
    const ask = (userId: string) =>
      fetch(`${baseURL}/chat/completions`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${apiKey}`,
          "content-type": "application/json",
          "x-user-id": userId,
        },
        body: JSON.stringify({ model: served, messages: QUESTION, max_tokens: 2 }),
      });
    assert.equal((await ask(on.people.userId)).status, 200);
    assert.equal((await ask("00000000-0000-4000-8000-000000000000")).status, 403);
  });

  await t.test("a disabled user's token and key open nothing, until it is enabled again", async () => {
    const { adminToken, userToken, userId } = on.people;
    const turn = (verb: "disable" | "enable", token: string) =>
      on.wire({ method: "POST", path: `/v1/admin/users/${userId}:${verb}`, token, body: {} });
    const ask = async () => {
      const answer = await fetch(`${baseURL}/models`, { headers: { authorization: `Bearer ${apiKey}` } });
      await answer.body?.cancel();
      return answer.status;
    };
    await assert.rejects(turn("disable", userToken), /NOT_ALLOWED|administrator|ADMIN/);
    const disabled = await turn("disable", adminToken);
    assert.ok(text(at(disabled, "user", "disabledAt")).startsWith("20"));
    await assert.rejects(on.wire({ method: "GET", path: "/v1/models", token: userToken }), /disabled/);
    await until(async () => (await ask()) !== 200);
    await turn("enable", adminToken);
    await on.wire({ method: "GET", path: "/v1/models", token: userToken });
    await until(async () => (await ask()) === 200);
  });
});

/** Waits for what gateways hear within seconds; the runner's own timeout ends a wait in vain. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50));
}
