import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { choose, type Load, PrefixMemory, promptOf } from "./prefix.ts";

const bodyOf = (content: string, before = "") =>
  Buffer.from(`{${before}"messages":[{"role":"user","content":${JSON.stringify(content)}}]}`);
const replicas = ["a", "b", "c", "d"].map((replicaId) => ({ replicaId, host: "h", port: 1, engineKey: "k" }));
const idle: Load = { active: 0, bytes: 0 };

test("prompts share as many hashes as blocks that begin alike, wherever in the body they stand", () => {
  const shared = "s".repeat(2_000);
  const one = promptOf("chat", bodyOf(`${shared} one ${"1".repeat(2_000)}`), "");
  const two = promptOf(
    "chat",
    bodyOf(`${shared} two ${"2".repeat(2_000)}`, '"model":"m","temperature":0.1,'),
    "",
  );
  const same = one.hashes.filter((hash, i) => hash === two.hashes[i]).length;
  assert.equal(same, 3);
  assert.equal(one.hashes.length, 7);
});

test("another tenant's salt shares nothing", () => {
  const body = bodyOf("x".repeat(4_000));
  const one = new Set(promptOf("chat", body, "one").hashes);
  assert.ok(promptOf("chat", body, "two").hashes.every((hash) => !one.has(hash)));
});

test("a prompt goes where its beginning is, until too much waits there", () => {
  const memory = new PrefixMemory();
  const prompt = promptOf("chat", bodyOf("p".repeat(8_000)), "");
  memory.remember(prompt.hashes, "c");
  const at = (loads: Readonly<Record<string, Load>>, turn: number) =>
    choose(replicas, ({ replicaId }) => loads[replicaId] ?? idle, memory, prompt, turn)?.replica.replicaId;
  for (let turn = 0; turn < 4; turn++) assert.equal(at({ c: { active: 5, bytes: 1_000 } }, turn), "c");
  assert.notEqual(at({ c: { active: 40, bytes: 0 } }, 0), "c");
  assert.notEqual(at({ c: { active: 1, bytes: 50_000 } }, 0), "c");
});

test("without a known beginning the least loaded is taken, and equals take turns", () => {
  const memory = new PrefixMemory();
  const prompt = promptOf("chat", bodyOf("new"), "");
  const loads: Record<string, Load> = { a: { active: 2, bytes: 0 }, b: { active: 1, bytes: 0 } };
  const chosen = [0, 1, 2, 3].map(
    (turn) =>
      choose(replicas, ({ replicaId }) => loads[replicaId] ?? idle, memory, prompt, turn)?.replica.replicaId,
  );
  assert.deepEqual(new Set(chosen), new Set(["c", "d"]));
});

test("the longest shared beginning is found, and memory stays bounded", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 }), (known, asked) => {
      const memory = new PrefixMemory();
      const hashes = Array.from({ length: 20 }, (_, i) => i + 1);
      memory.remember(hashes.slice(0, known), "a");
      memory.remember(hashes, "b");
      assert.equal(memory.shared(hashes.slice(0, asked), "a"), Math.min(known, asked));
      assert.equal(memory.shared(hashes.slice(0, asked), "c"), 0);
    }),
  );
  const memory = new PrefixMemory();
  for (let i = 0; i < 200; i++)
    memory.remember(
      Array.from({ length: 512 }, (_, j) => i * 512 + j),
      "a",
    );
  assert.ok(memory.size <= 50_000);
  assert.equal(memory.shared([199 * 512], "a"), 1, "the newest are kept");
});
