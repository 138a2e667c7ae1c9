import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { chat } from "./testing/chat-client.ts";
import { type Answer, KEY, startEngine, type TestEngine } from "./testing/start-engine.ts";

/** An engine that does not outlive its test, however that one ends. */
async function engineFor(t: TestContext, config: Record<string, unknown>): Promise<TestEngine> {
  const engine = await startEngine({ config });
  t.after(() => engine.kill("SIGKILL"));
  return engine;
}

/** Begins a stream of so many tokens and gives it when its first bytes came. */
async function beginStream(engine: TestEngine, maxTokens: number) {
  const body = chat({
    stream: true,
    ignore_eos: true,
    max_tokens: maxTokens,
    stream_options: { include_usage: true },
  });
  const response = await engine.fetch("/v1/chat/completions", body);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader?.read();
  return {
    async rest(): Promise<string> {
      let text = first?.value ?? "";
      for (;;) {
        const next = await reader?.read();
        if (!next || next.done) return text;
        text += next.value;
      }
    },
  };
}

/** The last line of the log, which a failed start ends with. */
async function lastWords(config: Record<string, unknown>, weights?: Buffer): Promise<Answer> {
  const error: unknown = await startEngine({ config, ...(weights ? { weights } : {}) }).then(
    () => assert.fail("the engine started"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Error);
  const line = error.message.trim().split("\n").at(-1) ?? "";
  return JSON.parse(line);
}

test("SIGTERM: the running stream is finished, new requests are sent elsewhere, the process ends with 0", async (t) => {
  const engine = await engineFor(t, { contextTokens: 4_096, sequencesMax: 1 });
  const stream = await beginStream(engine, 2_500);
  engine.kill("SIGTERM");
  for (let look = 0; look < 1_000 && !engine.log().includes('"draining"'); look++)
    await engine.fetch("/metrics");
  const refused = await engine.fetch("/v1/chat/completions", chat());
  assert.deepEqual(
    [refused.status, refused.headers.get("retry-after"), refused.headers.get("connection")],
    [503, "1", "close"],
  );
  assert.equal((await fetch(`${engine.url}/health`)).status, 503);
  const text = await stream.rest();
  assert.ok(text.trimEnd().endsWith("data: [DONE]"));
  assert.match(text, /"completion_tokens":2500/);
  assert.equal(await engine.exited, 0);
});

test("a full line is 429 with Retry-After, and those in line get their answers", async (t) => {
  const engine = await engineFor(t, { sequencesMax: 1 });
  const waiting = Array.from({ length: 9 }, () =>
    engine.post("/v1/chat/completions", chat({ max_tokens: 300, ignore_eos: true })),
  );
  const metrics = async () => (await engine.fetch("/metrics")).text();
  for (let look = 0; look < 1_000 && !/vllm:num_requests_waiting\{.*\} 8/.test(await metrics()); look++);
  const refused = await engine.fetch("/v1/chat/completions", chat());
  assert.deepEqual([refused.status, refused.headers.get("retry-after")], [429, "1"]);
  assert.ok((await Promise.all(waiting)).every((answer) => answer.status === 200));
  await engine.stop();
});

test("an engine that nobody claims ends by itself", async (t) => {
  const engine = await engineFor(t, { unclaimedExitMs: 50 });
  assert.equal(await engine.exited, 0);
  assert.match(engine.log(), /"why":"unclaimed"/);
});

test("a start that fails says why in its last line and ends with 1", async () => {
  const cases: [Record<string, unknown>, Buffer | undefined, string][] = [
    [{ weightsFiles: ["/nowhere/model.gguf"] }, undefined, "WEIGHTS_NOT_FOUND"],
    [{}, Buffer.from("this is no model"), "WEIGHTS_UNSUPPORTED"],
    [{ contextTokens: 0 }, undefined, "CONFIG_INVALID"],
  ];
  for (const [config, weights, reason] of cases) {
    const words = await lastWords(config, weights);
    assert.deepEqual([words.event, words.reason], ["failed", reason]);
    assert.ok(words.msg.length > 10);
    assert.ok(!JSON.stringify(words).includes(KEY));
  }
});

test("root is given up before the weights are read", async (t) => {
  const NOBODY = 65_534;
  const expected = process.getuid?.() === 0 ? NOBODY : process.getuid?.();
  const engine = await engineFor(t, { uid: NOBODY, gid: NOBODY });
  const uids = /^Uid:\s+(.*)$/m.exec(readFileSync(`/proc/${engine.pid}/status`, "utf8"))?.[1]?.split("\t");
  assert.deepEqual(uids?.map(Number), [expected, expected, expected, expected]);
  await engine.stop();
});
