import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createStopMatcher } from "./stop-matcher.ts";

/** Pushes the pieces one by one; gives what was shown and which stop text ended it. */
function run(
  pieces: readonly string[],
  stops: readonly string[],
): { shown: string; stop: string | undefined } {
  const matcher = createStopMatcher(stops);
  let shown = "";
  for (const piece of pieces) {
    const { text, stop } = matcher.push(piece);
    shown += text;
    if (stop !== undefined) return { shown, stop };
  }
  return { shown: shown + matcher.end(), stop: undefined };
}

/** Texts over few letters, so that stop texts are found often. */
const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 30 });
const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 }), {
  maxLength: 3,
});

test("a stop text that spans pieces is found and never shown", () => {
  assert.deepEqual(run(["one, t", "w", "o, three"], ["two"]), { shown: "one, ", stop: "two" });
});

test("what only began like a stop text is shown in the end", () => {
  assert.deepEqual(run(["one tw"], ["two"]), { shown: "one tw", stop: undefined });
});

test("the stop text that is complete first ends the stream, the longer one when two are", () => {
  assert.deepEqual(run(["abcd"], ["abcd", "bc"]), { shown: "a", stop: "bc" });
  assert.deepEqual(run(["abc"], ["c", "abc"]), { shown: "", stop: "abc" });
});

test("how the text is cut into pieces changes nothing", () => {
  fc.assert(
    fc.property(text, stops, fc.array(fc.nat({ max: 5 }), { maxLength: 12 }), (whole, stopTexts, cuts) => {
      const pieces: string[] = [];
      let rest = whole;
      for (const cut of cuts) {
        pieces.push(rest.slice(0, cut));
        rest = rest.slice(cut);
      }
      assert.deepEqual(run([...pieces, rest], stopTexts), run([...whole], stopTexts));
    }),
  );
});

test("what is shown is the text before the first stop text, or all of it", () => {
  fc.assert(
    fc.property(text, stops, (whole, stopTexts) => {
      const { shown, stop } = run([...whole], stopTexts);
      assert.ok(stopTexts.every((candidate) => !shown.includes(candidate)));
      if (stop === undefined) assert.equal(shown, whole);
      else assert.ok(whole.startsWith(shown + stop));
    }),
  );
});
