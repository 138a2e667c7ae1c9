import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readRequest, type Surface } from "./client-request.ts";
import { type Changes, engineBody } from "./engine-body.ts";
import { inputTokensBound } from "./money.ts";

const PRIVATE: Changes = {
  servedName: "served",
  shared: false,
  cacheSalt: undefined,
  outputTokensMax: undefined,
};
const SHARED: Changes = { ...PRIVATE, shared: true, cacheSalt: "salt" };
const bodyOf = (text: string, changes: Changes, surface: Surface = "chat") =>
  engineBody(readRequest(surface, Buffer.from(text)), changes).toString("utf8");

test("bytes that need no change are not changed", () => {
  const text = ` {"model" : "served", "messages": [ ], "seed": 12345678901234567890, "x": 1e400} \n`;
  assert.equal(bodyOf(text, PRIVATE), text);
});

test("whatever the client's JSON is, the engine reads the same but for what was changed", () => {
  const object = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 6 });
  const spacing = fc.constantFrom(undefined, 1, "\t");
  fc.assert(
    fc.property(
      object,
      fc.boolean(),
      spacing,
      fc.constantFrom("", " ", "\r\n\t "),
      (fields, stream, space, end) => {
        const { model: _model, stream_options: _options, n: _n, best_of: _best, ...rest } = fields;
        const sent = { ...rest, model: "alias", stream };
        const text = JSON.stringify(sent, null, space) + end;
        let request: ReturnType<typeof readRequest>;
        try {
          request = readRequest("chat", Buffer.from(text));
        } catch {
          return; // a number that money is reserved by was none
        }
        const read: unknown = JSON.parse(engineBody(request, PRIVATE).toString("utf8"));
        const options = stream ? { stream_options: { include_usage: true } } : {};
        assert.deepEqual(read, JSON.parse(JSON.stringify({ ...sent, model: "served", ...options })));
      },
    ),
  );
});

test("an empty object gets its fields without a comma", () => {
  for (const text of ["{}", "{ }", "{\n}\n"])
    assert.deepEqual(JSON.parse(bodyOf(text, PRIVATE)), { model: "served" });
});

test("of a field that is sent twice the last one counts, here and at the engine", () => {
  const request = readRequest("chat", Buffer.from(`{"model":"a","model":"b","max_tokens":1,"max_tokens":9}`));
  assert.equal(request.model, "b");
  assert.equal(request.outputTokensMax, 9);
});

test("long integers keep their digits on a shared model", () => {
  const text = `{"model":"x","messages":[],"seed":1234567890123456789,"other":1234567890123456789}`;
  const sent = bodyOf(text, SHARED);
  assert.ok(sent.includes(`"seed":1234567890123456789`));
  assert.ok(!sent.includes("other"));
});

test("no name for an output limit beside ours survives", () => {
  const text = `{"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3}`;
  const limited = { ...SHARED, outputTokensMax: 7 };
  assert.deepEqual(JSON.parse(bodyOf(text, limited)), { max_tokens: 7, model: "served", cache_salt: "salt" });
  assert.equal(JSON.parse(bodyOf(text, limited, "responses")).max_output_tokens, 7);
});

test("a request is read for what it can cost", () => {
  const read = (json: object, surface: Surface = "chat") =>
    readRequest(surface, Buffer.from(JSON.stringify(json)));
  assert.equal(read({ n: 3 }).choices, 3);
  assert.equal(read({ prompt: ["a", "b"], n: 2, best_of: 4 }, "completions").choices, 8);
  assert.equal(read({ prompt: [1, 2, 3] }, "completions").prompts, 1);
  assert.equal(read({ prompt: [[1], [2]] }, "completions").prompts, 2);
  assert.equal(read({ max_tokens: 5, max_completion_tokens: 9 }).outputTokensMax, 9);
  assert.equal(read({ max_tokens: null }).outputTokensMax, undefined);
  assert.equal(read({ stream: true }, "embeddings").stream, false);
  assert.equal(read({ stream: true, stream_options: null }).wantsUsage, false);
});

test("no prompt has more tokens than its bound: bytes and template, or the context", () => {
  const long = { messages: [{ role: "user", content: "x".repeat(50_000) }] };
  const request = readRequest("chat", Buffer.from(JSON.stringify(long)));
  assert.ok(inputTokensBound(request, 0) > 50_000);
  assert.equal(inputTokensBound(request, 4_096), 4_096);
  const short = readRequest("chat", Buffer.from(`{"messages":[{}]}`));
  assert.ok(inputTokensBound(short, 4_096) >= 17 + 16);
});
