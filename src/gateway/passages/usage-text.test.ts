import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EventSplitter, hasDone, sift, Tail } from "./events.ts";
import { usageIn } from "./usage-text.ts";

const usage = (prompt: number, completion: number) =>
  `{"prompt_tokens":${prompt},"completion_tokens":${completion},"total_tokens":${prompt + completion},"prompt_tokens_details":{"cached_tokens":1}}`;

test("usage is found at the end of an answer, whatever its words say", () => {
  const count = fc.nat({ max: 1_000_000 });
  fc.assert(
    fc.property(
      count,
      count,
      fc.string(),
      fc.constantFrom("", " ", "\n "),
      (prompt, completion, words, blank) => {
        const text = `{"choices":[{"text":${JSON.stringify(`${words}"usage":${usage(0, 0)}`)}}],"usage"${blank}:${blank}${usage(prompt + 1, completion)},"more":null}`;
        const found = usageIn(Buffer.from(text));
        assert.equal(found?.promptTokens, prompt + 1);
        assert.equal(found?.completionTokens, completion);
        assert.equal(found?.cachedTokens, 1);
      },
    ),
  );
});

test("what is no usage is none", () => {
  for (const text of [
    "",
    '{"usage":null}',
    '{"usage":{}}',
    '{"usage":{"prompt_tokens":',
    '"usage"',
    '{"usage":{"prompt_tokens":-1}}',
  ])
    assert.equal(usageIn(Buffer.from(text)), undefined);
  const behind = `{"usage":${usage(3, 4)},"service":{"usage":{"x":1}}}`;
  assert.equal(usageIn(Buffer.from(behind))?.promptTokens, 3);
});

test("a tail keeps the usage of a stream in pieces of any size, and no more than it must", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }), (sizes) => {
      const bytes = Buffer.from(
        `${"data: words\n\n".repeat(500)}data: {"choices":[],"usage":${usage(5, 6)}}\n\ndata: [DONE]\n\n`,
      );
      const tail = new Tail();
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const to = Math.min(bytes.length, at + (sizes[i % sizes.length] ?? 1));
        tail.push(bytes.subarray(at, to));
        at = to;
      }
      assert.equal(tail.usage()?.completionTokens, 6);
    }),
    { numRuns: 30 },
  );
});

test("events come whole, in order and complete, however they are cut", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.nat()), (words, cuts) => {
      const bytes = Buffer.from(`${words.map((word) => `data: ${JSON.stringify(word)}\n\n`).join("")}rest`);
      const splitter = new EventSplitter();
      const got: Buffer[] = [];
      const places = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
      let from = 0;
      for (const to of places) {
        const events = splitter.push(bytes.subarray(from, to));
        if (events) {
          assert.ok(events.toString().endsWith("\n\n"));
          got.push(events);
        }
        from = to;
      }
      assert.deepEqual(Buffer.concat([...got, splitter.rest() ?? Buffer.alloc(0)]), bytes);
    }),
  );
});

test("only a frame that has nothing but usage is dropped", () => {
  const word = `data: {"choices":[{"delta":{"content":"a"}}],"usage":${usage(1, 1)}}\n\n`;
  const only = `data: {"choices":[],"usage":${usage(1, 2)}}\n\n`;
  const empty = `data: {"choices":[]}\n\n`;
  const events = Buffer.from(word + empty + only);
  assert.equal(sift(events, true).bytes.toString(), word + empty);
  assert.equal(sift(events, false).bytes.toString(), word + empty + only);
  assert.equal(sift(events, true).usage?.completionTokens, 2);
  assert.equal(sift(Buffer.from(word), true).over, false);
  assert.equal(sift(Buffer.from(only), true).over, true);
});

test("the end marker is a line of its own", () => {
  for (const text of ["data: [DONE]\n\n", "data: x\n\ndata: [DONE]\n\n", "e\r\ndata: [DONE]\n\n"])
    assert.ok(hasDone(Buffer.from(text)));
  for (const text of ['data: "data: [DONE]"\n\n', "[DONE]", "data: DONE"])
    assert.ok(!hasDone(Buffer.from(text)));
});
