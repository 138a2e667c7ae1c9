import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { jsonErrorPosition } from "./json-position.ts";

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

test("the position is that of the first token that may not stand there", () => {
  const cases: readonly [string, number][] = [
    ['{"a": }', 6],
    ['{"a": 1,}', 8],
    ['{"a" 1}', 5],
    ["{a: 1}", 1],
    ["[1 2]", 3],
    ["[1,]", 3],
    ["{]", 1],
    ["[}", 1],
    ["[1]]", 3],
    ['{"a": tru}', 6],
    ['{"a": 01}', 7],
    ['{"a": "\n"}', 6],
    ["1 1", 2],
    [",", 0],
  ];
  for (const [text, position] of cases) assert.equal(jsonErrorPosition(text), position, text);
});

test("text that only ends too early is wrong at its end", () => {
  for (const text of ["", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,', "[", "[[1", '"'.repeat(0)]) {
    assert.equal(jsonErrorPosition(text), text.length, text);
  }
});

test("valid JSON has no wrong token, and a wrong token means invalid JSON", () => {
  fc.assert(
    fc.property(
      fc.json(),
      fc.nat(),
      fc.constantFrom("", "}", "]", ",", ":", '"', "x", "1"),
      (text, at, insert) => {
        assert.equal(jsonErrorPosition(text), text.length);
        const place = at % (text.length + 1);
        const changed = text.slice(0, place) + insert + text.slice(place);
        if (jsonErrorPosition(changed) < changed.trimEnd().length)
          assert.equal(parses(changed), false, changed);
        if (parses(changed)) assert.equal(jsonErrorPosition(changed), changed.length);
      },
    ),
  );
});
