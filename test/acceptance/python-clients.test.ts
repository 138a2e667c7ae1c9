import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { undoAfter } from "../support/cleanup.ts";
import { testInstallation } from "../support/installation.ts";
import { servedBothWays } from "./catalog-entry.ts";

const run = promisify(execFile);

/** Each in a folder of its own: LiteLLM pins an older OpenAI SDK than the newest. */
const CLIENTS = [
  {
    name: "the OpenAI SDK for Python",
    requirement: "openai==3.57.0",
    program: `
import json, os, openai
client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["KEY"], max_retries=0)
model, question = os.environ["MODEL"], [{"role": "user", "content": "the first people"}]
chat = client.chat.completions.create(model=model, messages=question, max_tokens=8, temperature=0)
streamed, usage = "", None
for chunk in client.chat.completions.create(model=model, messages=question, max_tokens=8, temperature=0, stream=True,
                                            stream_options={"include_usage": True}):
    streamed += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    usage = chunk.usage or usage
response = client.responses.create(model=model, input="the first people", max_output_tokens=16)
listed = [one.id for one in client.models.list()]
stranger = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key="sk-" + "0" * 40, max_retries=0)
try:
    stranger.chat.completions.create(model=model, messages=question)
    refused = "not refused"
except openai.AuthenticationError:
    refused = "401"
print(json.dumps({"chat": chat.choices[0].message.content, "streamed": streamed, "tokens": usage.total_tokens,
                  "response": response.output_text, "listed": model in listed, "refused": refused}))
`,
  },
  {
    name: "LiteLLM",
    requirement: "litellm==1.110.2",
    program: `
import json, os, litellm
litellm.telemetry = False
common = dict(model="openai/" + os.environ["MODEL"], api_base=os.environ["BASE_URL"], api_key=os.environ["KEY"], num_retries=0,
              messages=[{"role": "user", "content": "the first people"}], max_tokens=8, temperature=0)
chat = litellm.completion(**common)
streamed, usage = "", None
for chunk in litellm.completion(**common, stream=True, stream_options={"include_usage": True}):
    streamed += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    usage = getattr(chunk, "usage", None) or usage
response = litellm.responses(model=common["model"], input="the first people", max_output_tokens=16,
                             api_base=common["api_base"], api_key=common["api_key"])
try:
    litellm.completion(**{**common, "api_key": "sk-" + "0" * 40})
    refused = "not refused"
except litellm.AuthenticationError:
    refused = "401"
print(json.dumps({"chat": chat.choices[0].message.content, "streamed": streamed, "tokens": usage.total_tokens,
                  "response": response.output[0].content[0].text, "listed": True, "refused": refused}))
`,
  },
];

test("Python's clients work by base URL and key alone, on demand and serverless", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "slipway-python-"));
  undoAfter(t, () => rm(folder, { recursive: true, force: true }));
  const ways = Object.entries(await servedBothWays(await testInstallation(t)));
  for (const { name, requirement, program } of CLIENTS) {
    const site = join(folder, requirement);
    await run("python3", [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--only-binary=:all:",
      "--target",
      site,
      requirement,
    ]);
    for (const [way, { baseUrl, apiKey, model }] of ways) {
      await t.test(`${name}, ${way}`, async () => {
        const { stdout } = await run("python3", ["-c", program], {
          env: {
            PATH: process.env.PATH,
            HOME: folder,
            PYTHONPATH: site,
            BASE_URL: baseUrl,
            KEY: apiKey,
            MODEL: model,
            // Its prices otherwise come from the network, which a client of ours needs none of.
            LITELLM_LOCAL_MODEL_COST_MAP: "True",
          },
        });
        const told = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
        assert.ok(told.chat.length > 0);
        assert.equal(told.streamed, told.chat);
        assert.ok(told.tokens > 8);
        assert.ok(told.response.length > 0);
        assert.deepEqual([told.listed, told.refused], [true, "401"]);
      });
    }
  }
});
