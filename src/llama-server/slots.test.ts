import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Token } from "node-llama-cpp";
import { StatusError } from "../base/status.ts";
import { createSlots, type SlotSequence } from "./slots.ts";

/** A sequence that remembers tokens and nothing else. */
interface FakeSequence extends SlotSequence {
  readonly name: number;
  hold(tokens: readonly Token[]): void;
}

function fakeSequence(name: number): FakeSequence {
  let held: readonly Token[] = [];
  const common = (tokens: readonly Token[]) => {
    let index = 0;
    while (index < held.length && held[index] === tokens[index]) index++;
    return index;
  };
  return {
    name,
    get nextTokenIndex() {
      return held.length;
    },
    compareContextTokens: (tokens) => ({ firstDifferentIndex: common(tokens) }),
    async adaptStateToTokens(tokens) {
      held = held.slice(0, common(tokens));
    },
    hold(tokens) {
      held = tokens;
    },
  };
}

function isToken(_id: number): _id is Token {
  return true;
}

/** `length` tokens that begin like every other prompt of the same `topic`. */
function prompt(topic: number, length: number): Token[] {
  return Array.from({ length }, (_, index) => topic * 1_000 + index).filter(isToken);
}

function slotsOf(count: number, options = {}) {
  const sequences = Array.from({ length: count }, (_, name) => fakeSequence(name));
  const slots = createSlots(sequences, {
    contextTokens: 1_000,
    waitingMax: 2,
    prefixCache: true,
    ...options,
  });
  return { sequences, slots };
}

const never = new AbortController().signal;

/** Takes a sequence, evaluates the prompt and gives it back; tells which one and what was reused. */
async function use(slots: ReturnType<typeof slotsOf>["slots"], tokens: Token[], salt = "") {
  const lease = await slots.acquire(tokens, salt, never);
  const cached = await lease.prepare(tokens);
  lease.sequence.hold(tokens);
  lease.release();
  return { name: lease.sequence.name, cached };
}

test("a prompt goes to the sequence that shares its longest beginning", async () => {
  const { slots } = slotsOf(3);
  const first = await use(slots, prompt(1, 50));
  const second = await use(slots, prompt(2, 50));
  assert.notEqual(first.name, second.name);
  assert.deepEqual(await use(slots, prompt(2, 80)), { name: second.name, cached: 50 });
  assert.deepEqual(await use(slots, prompt(1, 80)), { name: first.name, cached: 50 });
});

test("the last token of a prompt is always evaluated", async () => {
  const { slots } = slotsOf(1);
  await use(slots, prompt(1, 50));
  assert.equal((await use(slots, prompt(1, 50))).cached, 49);
});

test("another salt never reuses what a sequence holds", async () => {
  const { slots } = slotsOf(1);
  await use(slots, prompt(1, 50), "tenant a");
  assert.equal((await use(slots, prompt(1, 50), "tenant b")).cached, 0);
  assert.equal((await use(slots, prompt(1, 50), "tenant b")).cached, 49);
  assert.equal((await use(slots, prompt(1, 50), "")).cached, 0);
});

test("without the prefix cache nothing is reused", async () => {
  const { slots } = slotsOf(1, { prefixCache: false });
  await use(slots, prompt(1, 50));
  assert.equal((await use(slots, prompt(1, 50))).cached, 0);
});

test("a few common words don't cost another conversation its cache", async () => {
  const { slots } = slotsOf(2);
  const first = await use(slots, prompt(1, 50));
  const other = await use(slots, [...prompt(1, 8), ...prompt(3, 40)]);
  assert.notEqual(other.name, first.name);
});

test("where nothing fits, the longest unused sequence is taken", async () => {
  const { slots } = slotsOf(2);
  const first = await use(slots, prompt(1, 50));
  const second = await use(slots, prompt(2, 50));
  await use(slots, prompt(1, 60));
  assert.equal((await use(slots, prompt(3, 50))).name, second.name);
  assert.notEqual(first.name, second.name);
});

test("requests wait in order, and one too many is refused at once", async () => {
  const { slots } = slotsOf(1);
  const running = await slots.acquire(prompt(1, 5), "", never);
  const order: string[] = [];
  const waiting = ["a", "b"].map(async (name) => {
    const lease = await slots.acquire(prompt(2, 5), "", never);
    order.push(name);
    lease.release();
  });
  await assert.rejects(slots.acquire(prompt(3, 5), "", never), (error) => {
    assert.ok(error instanceof StatusError);
    assert.equal(error.code, "RESOURCE_EXHAUSTED");
    return true;
  });
  assert.deepEqual([slots.running, slots.waiting], [1, 2]);
  running.release();
  await Promise.all(waiting);
  assert.deepEqual(order, ["a", "b"]);
  assert.deepEqual([slots.running, slots.waiting], [0, 0]);
});

test("who goes away while waiting leaves the line", async () => {
  const { slots } = slotsOf(1);
  const running = await slots.acquire(prompt(1, 5), "", never);
  const gone = new AbortController();
  const waiting = slots.acquire(prompt(2, 5), "", gone.signal);
  gone.abort(new Error("gone"));
  await assert.rejects(waiting, /gone/);
  assert.equal(slots.waiting, 0);
  running.release();
  running.release();
  assert.equal(slots.running, 0);
});

test("in any history no sequence is held twice, and reuse is exactly the common beginning within a salt", async () => {
  const step = fc.record({
    topic: fc.nat({ max: 3 }),
    length: fc.integer({ min: 1, max: 60 }),
    salt: fc.constantFrom("", "x"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { slots } = slotsOf(3);
      const holds = new Map<number, { tokens: Token[]; salt: string }>();
      const open: (() => void)[] = [];
      for (const { topic, length, salt } of steps) {
        if (open.length === 3) open.shift()?.();
        const tokens = prompt(topic, length);
        const lease = await slots.acquire(tokens, salt, never);
        const before = holds.get(lease.sequence.name);
        const shared =
          before?.salt === salt ? before.tokens.findIndex((token, index) => token !== tokens[index]) : 0;
        const common = shared < 0 ? (before?.tokens.length ?? 0) : shared;
        assert.equal(await lease.prepare(tokens), Math.min(common, length - 1));
        lease.sequence.hold(tokens);
        holds.set(lease.sequence.name, { tokens, salt });
        open.push(lease.release);
        assert.equal(slots.running, open.length);
      }
    }),
  );
});
