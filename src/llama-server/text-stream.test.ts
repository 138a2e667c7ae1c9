import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Token } from "node-llama-cpp";
import { createTextStream } from "./text-stream.ts";

/** A vocabulary of single bytes: the worst that a tokenizer can do to a character. */
const byBytes = { detokenize: (tokens: readonly Token[]) => Buffer.from(tokens).toString("utf8") };

function isToken(_byte: number): _byte is Token {
  return true;
}

function pieces(bytes: Uint8Array): string[] {
  const stream = createTextStream(byBytes, []);
  const shown = [...bytes].filter(isToken).map((token) => stream.push(token));
  return [...shown, stream.end()];
}

test("a character is shown when its last byte came, never in parts", () => {
  assert.deepEqual(
    pieces(Buffer.from("aé€😀")).filter((piece) => piece !== ""),
    ["a", "é", "€", "😀"],
  );
});

test("any text comes through whole, in pieces that are whole characters", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const shown = pieces(Buffer.from(text));
      assert.equal(shown.join(""), text);
      for (const piece of shown) assert.equal(Buffer.from(piece).toString("utf8"), piece);
      assert.ok(text.includes("\uFFFD") || shown.every((piece) => !piece.includes("\uFFFD")));
    }),
    { examples: [["\uFFFD\u00E9"], ["\uFFFD\uFFFD\u{1F600}"]] },
  );
});

test("broken bytes don't hold up what follows", () => {
  const shown = pieces(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x61]));
  assert.ok(shown.join("").endsWith("a"));
});
