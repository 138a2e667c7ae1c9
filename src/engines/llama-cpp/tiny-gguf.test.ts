import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { tinyGguf } from "./tiny-gguf.ts";

function digest(seed: number): string {
  return createHash("sha256").update(tinyGguf({ seed })).digest("hex");
}

test("the same seed gives the same bytes, another seed other bytes", () => {
  assert.equal(digest(1), digest(1));
  assert.notEqual(digest(1), digest(2));
});

test("the file is a small GGUF of version 3", () => {
  const file = tinyGguf();
  assert.equal(file.toString("latin1", 0, 4), "GGUF");
  assert.equal(file.readUInt32LE(4), 3);
  assert.ok(file.length < 1_000_000);
});
