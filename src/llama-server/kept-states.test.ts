import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { chatClient, contentOf, QUESTION } from "./testing/chat-client.ts";
import { startEngine, type TestEngine } from "./testing/start-engine.ts";

const NOBODY = 65_534;

function folderFor(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "slipway-kept-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function engineWith(t: TestContext, config: Record<string, unknown>): Promise<TestEngine> {
  const engine = await startEngine({ config });
  t.after(() => engine.kill("SIGKILL"));
  return engine;
}

function keeping(dir: string, limitBytes = 1e9) {
  return { storage: { dir, limitBytes }, sequencesMax: 1 };
}

async function ask(engine: TestEngine, fields: object = {}) {
  const answer = await chatClient(engine).completeChat(fields);
  return { text: contentOf(answer), cached: answer.usage.prompt_tokens_details.cached_tokens };
}

/** Every file of the folder, by its path in it. */
const files = (dir: string) =>
  readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((name) =>
    statSync(join(dir, name)).isFile(),
  );
const states = (dir: string) => files(dir).filter((name) => name.endsWith(".state"));
const bytesIn = (dir: string) => files(dir).reduce((sum, name) => sum + statSync(join(dir, name)).size, 0);

/** A conversation about something else, as long as the question. */
const other = (word: string) => ({ messages: [{ role: "user", content: `${word} `.repeat(20) }] });

test("a restarted replica goes on from what an earlier one evaluated, and answers the same", async (t) => {
  const dir = folderFor(t);
  const first = await engineWith(t, keeping(dir));
  const fresh = await ask(first);
  assert.equal(fresh.cached, 0);
  await first.stop();
  assert.equal(states(dir).length, 1);
  const second = await engineWith(t, keeping(dir));
  const again = await ask(second);
  assert.ok(again.cached > 20, `${again.cached} tokens came from disk`);
  assert.equal(again.text, fresh.text);
  await second.stop();
  const without = await engineWith(t, { sequencesMax: 1 });
  assert.deepEqual(await ask(without), fresh);
  await without.stop();
});

test("what another salt evaluated is never used, in memory or from disk", async (t) => {
  const dir = folderFor(t);
  const first = await engineWith(t, keeping(dir));
  await ask(first, { cache_salt: "one" });
  await first.stop();
  const second = await engineWith(t, keeping(dir));
  assert.equal((await ask(second, { cache_salt: "two" })).cached, 0);
  assert.equal((await ask(second)).cached, 0);
  assert.ok((await ask(second, { cache_salt: "one" })).cached > 20);
  await second.stop();
});

test("a conversation that had to make room comes back from disk", async (t) => {
  const dir = folderFor(t);
  const engine = await engineWith(t, keeping(dir));
  const fresh = await ask(engine);
  await ask(engine, other("world"));
  const again = await ask(engine);
  assert.ok(again.cached > 20);
  assert.equal(again.text, fresh.text);
  await engine.stop();
});

test("what was idle for a moment outlives a kill -9", async (t) => {
  const dir = folderFor(t);
  const engine = await engineWith(t, keeping(dir));
  const fresh = await ask(engine);
  await untilKept(dir);
  engine.kill("SIGKILL");
  await engine.exited;
  const after = await engineWith(t, keeping(dir));
  const again = await ask(after);
  assert.ok(again.cached > 20);
  assert.equal(again.text, fresh.text);
  await after.stop();
});

/** A state counts once its tokens are there. */
async function untilKept(dir: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!files(dir).some((name) => name.endsWith(".tokens"))) {
    if (performance.now() > deadline) throw new Error("nothing was kept");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("a longer conversation takes the place of its earlier turns", async (t) => {
  const dir = folderFor(t);
  const engine = await engineWith(t, keeping(dir));
  const turn = { role: "user", content: QUESTION };
  const { text } = await ask(engine);
  await engine.stop();
  const next = await engineWith(t, keeping(dir));
  await ask(next, { messages: [turn, { role: "assistant", content: text }, turn] });
  await next.stop();
  const last = await engineWith(t, keeping(dir));
  assert.ok((await ask(last)).cached > 20);
  await last.stop();
  assert.ok(states(dir).length <= 2);
});

test("the folder stays within its bound: the longest unused goes first", async (t) => {
  const dir = folderFor(t);
  const probe = await engineWith(t, keeping(dir));
  await ask(probe);
  await probe.stop();
  const limit = bytesIn(dir) * 3;
  const engine = await engineWith(t, keeping(dir, limit));
  for (const word of ["world", "people", "work", "other"]) await ask(engine, other(word));
  await ask(engine);
  await engine.stop();
  assert.ok(bytesIn(dir) <= limit, `${bytesIn(dir)} of ${limit}`);
  const after = await engineWith(t, keeping(dir, limit));
  assert.ok((await ask(after)).cached > 20, "the last one used is kept");
  await after.stop();
});

test("a damaged state is forgotten, and a folder that is gone costs nothing but the cache", async (t) => {
  const dir = folderFor(t);
  const first = await engineWith(t, keeping(dir));
  const fresh = await ask(first);
  await first.stop();
  for (const name of states(dir)) writeFileSync(join(dir, name), "not a state");
  const second = await engineWith(t, keeping(dir));
  assert.deepEqual(await ask(second), fresh);
  assert.match(second.log(), /kept-unreadable/);
  rmSync(dir, { recursive: true });
  await ask(second, other("world"));
  assert.equal((await ask(second)).text, fresh.text);
  await second.stop();
  assert.equal(await second.exited, 0);
});

test("an engine that gave up root keeps states in a folder of its own user", async (t) => {
  const dir = folderFor(t);
  chmodSync(dir, 0o700);
  if (process.getuid?.() === 0) chownSync(dir, NOBODY, NOBODY);
  const config = { ...keeping(dir), uid: NOBODY, gid: NOBODY };
  const first = await engineWith(t, config);
  await ask(first);
  await first.stop();
  const [state = ""] = states(dir);
  assert.equal(statSync(join(dir, state)).uid, process.getuid?.() === 0 ? NOBODY : process.getuid?.());
  const second = await engineWith(t, config);
  assert.ok((await ask(second)).cached > 20);
  await second.stop();
});

test("nothing is kept where prefixes are not reused", async (t) => {
  const dir = folderFor(t);
  const options = { threads: 1, batchTokens: 64, embeddingTokens: 0, prefixCache: false };
  const engine = await engineWith(t, { ...keeping(dir), options });
  await ask(engine);
  await engine.stop();
  assert.deepEqual(readdirSync(dir), []);
});
