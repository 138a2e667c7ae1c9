import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { undoAfter } from "../support/cleanup.ts";
import { testInstallation } from "../support/installation.ts";
import { servedBothWays } from "./catalog-entry.ts";
import { TENSORMESH_PROVIDER } from "./tensormesh-provider.ts";

const run = promisify(execFile);

/** Everything that the provider offers, by its public names. */
const SCRIPT = `
import { generateText, streamText } from "ai";
import { createTensormesh } from "@tensormesh/ai-sdk-provider";
const { BASE_URL: baseURL, KEY: apiKey, MODEL: model, USER_ID: userId } = process.env;
const tm = createTensormesh({ baseURL, apiKey, ...(userId ? { userId } : {}) });
const prompt = "the first people";
const chat = await generateText({ model: tm(model), prompt, maxOutputTokens: 8, temperature: 0, maxRetries: 0 });
const stream = streamText({ model: tm(model), prompt, maxOutputTokens: 8, temperature: 0, maxRetries: 0 });
let streamed = "";
for await (const part of stream.textStream) streamed += part;
const completion = await generateText({ model: tm.completionModel(model), prompt, maxOutputTokens: 4, maxRetries: 0 });
const response = await tm.responses.create({ model, input: prompt, max_output_tokens: 16 });
const sse = await (await tm.responses.stream({ model, input: prompt, max_output_tokens: 16 })).text();
const { tokens } = await tm.tokenize.create({ model, prompt });
const { prompt: again } = await tm.detokenize.create({ model, tokens });
const listed = (await tm.models.list()).data.map(({ id }) => id);
console.log(JSON.stringify({
  chat: chat.text, streamed, tokensUsed: (await stream.usage).inputTokens, completion: completion.text,
  response: response.object, sse: sse.includes("[DONE]"), again, listed: listed.includes(model),
  health: (await tm.health.get()).status, version: typeof (await tm.version.get()).version,
}));
`;

test("the unmodified Tensormesh provider of the Vercel AI SDK works by base URL and key, on demand and serverless", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "slipway-provider-"));
  undoAfter(t, () => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await writeFile(join(folder, "script.js"), SCRIPT);
  const install = ["install", "--no-audit", "--no-fund", "--loglevel=error", TENSORMESH_PROVIDER, "ai@6"];
  await run("npm", install, { cwd: folder });
  const on = await testInstallation(t);
  for (const [way, { baseUrl, apiKey, model }] of Object.entries(await servedBothWays(on))) {
    await t.test(way, async () => {
      // On demand a user's id goes along; serverless it would be a stray one, which is ignored.
      const env = {
        PATH: process.env.PATH,
        BASE_URL: baseUrl,
        KEY: apiKey,
        MODEL: model,
        USER_ID: on.people.userId,
      };
      const { stdout } = await run(process.execPath, ["script.js"], { cwd: folder, env });
      const told = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
      assert.ok(told.chat.length > 0 && told.completion.length > 0);
      assert.equal(told.streamed, told.chat);
      assert.ok(told.tokensUsed > 0);
      assert.deepEqual(
        {
          response: told.response,
          sse: told.sse,
          listed: told.listed,
          health: told.health,
          version: told.version,
        },
        { response: "response", sse: true, listed: true, health: "ok", version: "string" },
      );
      assert.match(told.again, /the first people/);
    });
  }
});
