import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { normaliseUsage, usageOf } from "./usage.ts";

test("a chat usage is read with its cached and reasoning parts", () => {
  const usage = usageOf({
    usage: {
      prompt_tokens: 10,
      completion_tokens: 4,
      total_tokens: 14,
      prompt_tokens_details: { cached_tokens: 8 },
      completion_tokens_details: { reasoning_tokens: 1 },
    },
  });
  assert.deepEqual(usage, {
    promptTokens: 10,
    cachedTokens: 8,
    completionTokens: 4,
    reasoningTokens: 1,
    totalTokens: 14,
  });
});

test("a responses stream's last event is read like its body", () => {
  const usage = {
    input_tokens: 7,
    output_tokens: 3,
    total_tokens: 10,
    input_tokens_details: { cached_tokens: 2 },
  };
  const event = usageOf({ type: "response.completed", response: { usage } });
  assert.deepEqual(event, usageOf({ usage }));
  assert.equal(event?.cachedTokens, 2);
});

test("an embeddings usage has no completion", () => {
  assert.equal(usageOf({ usage: { prompt_tokens: 5, total_tokens: 5 } })?.completionTokens, 0);
});

test("cached tokens that are not told stay untold", () => {
  for (const details of [undefined, null, {}, { cached_tokens: null }, { cached_tokens: "3" }]) {
    const usage = { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: details };
    assert.equal(normaliseUsage(usage)?.cachedTokens, undefined);
  }
  const zero = { prompt_tokens: 5, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 0 } };
  assert.equal(normaliseUsage(zero)?.cachedTokens, 0);
});

test("what can't be counted from is no usage", () => {
  const broken = [undefined, null, 3, "x", [], {}, { usage: null }, { usage: { prompt_tokens: 5 } }];
  for (const answer of broken) assert.equal(usageOf(answer), undefined);
  assert.equal(normaliseUsage({ prompt_tokens: -1, completion_tokens: 2 }), undefined);
  assert.equal(normaliseUsage({ prompt_tokens: 5, total_tokens: 4 }), undefined);
});

test("whatever an engine says, the parts sum to the whole and no part exceeds it", () => {
  const value = fc.oneof(
    fc.integer({ min: -2, max: 2_000 }),
    fc.double(),
    fc.constant(undefined),
    fc.constant(null),
    fc.string(),
  );
  const details = fc.option(fc.record({ cached_tokens: value, reasoning_tokens: value }), { nil: undefined });
  const usage = fc.record({
    prompt_tokens: value,
    completion_tokens: value,
    input_tokens: value,
    output_tokens: value,
    total_tokens: value,
    prompt_tokens_details: details,
    output_tokens_details: details,
  });
  fc.assert(
    fc.property(usage, (raw) => {
      const read = normaliseUsage(raw);
      if (!read) return;
      for (const tokens of [read.promptTokens, read.completionTokens])
        assert.ok(Number.isInteger(tokens) && tokens >= 0);
      assert.equal(read.promptTokens + read.completionTokens, read.totalTokens);
      assert.ok((read.cachedTokens ?? 0) <= read.promptTokens);
      assert.ok((read.reasoningTokens ?? 0) <= read.completionTokens);
      if (read.cachedTokens !== undefined)
        assert.equal(typeof raw.prompt_tokens_details?.cached_tokens, "number");
    }),
  );
});

test("a true usage comes through unchanged in either dialect", () => {
  const tokens = fc.nat({ max: 1_000_000 });
  fc.assert(
    fc.property(tokens, tokens, tokens, (prompt, completion, third) => {
      const cached = Math.min(third, prompt);
      const expected = [prompt, completion, prompt + completion, cached];
      const total_tokens = prompt + completion;
      const chat = normaliseUsage({
        prompt_tokens: prompt,
        completion_tokens: completion,
        total_tokens,
        prompt_tokens_details: { cached_tokens: cached },
      });
      const responses = normaliseUsage({
        input_tokens: prompt,
        output_tokens: completion,
        total_tokens,
        input_tokens_details: { cached_tokens: cached },
      });
      for (const read of [chat, responses]) {
        assert.deepEqual(
          [read?.promptTokens, read?.completionTokens, read?.totalTokens, read?.cachedTokens],
          expected,
        );
      }
    }),
  );
});
