import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { SpecKey } from "./engine.ts";
import { nearest, validateSpec } from "./spec.ts";

const KEYS: readonly SpecKey[] = [
  { name: "contextTokens", type: "int", description: "", min: 256, max: 1024, mutable: true },
  { name: "share", type: "number", description: "", min: 0, max: 1, mutable: true },
  { name: "eager", type: "boolean", description: "", mutable: false },
  { name: "dtype", type: "string", description: "", oneOf: ["auto", "half"], mutable: false },
  { name: "names", type: "strings", description: "", mutable: false },
];

function violationsOf(raw: unknown) {
  const result = validateSpec(KEYS, raw);
  return result.ok ? [] : result.violations;
}

test("values of every type come through as they are", () => {
  const raw = { contextTokens: 512, share: 0.5, eager: true, dtype: "half", names: ["a", "b"] };
  assert.deepEqual(validateSpec(KEYS, raw), { ok: true, values: raw });
  assert.deepEqual(validateSpec(KEYS, undefined), { ok: true, values: {} });
});

test("an unknown key is refused by name with the nearest known one", () => {
  const [violation] = violationsOf({ context_token: 512 });
  assert.equal(violation?.field, "model_spec.context_token");
  assert.equal(violation?.reason, "SPEC_KEY_UNKNOWN");
  assert.match(violation?.description ?? "", /Did you mean "contextTokens"/);
});

test("an unknown key that resembles none lists what is known", () => {
  assert.match(
    violationsOf({ zzzzzzzz: 1 })[0]?.description ?? "",
    /knows contextTokens, share, eager, dtype, names/,
  );
});

test("all violations are told at once, each with its rule", () => {
  const violations = violationsOf({
    contextTokens: 12.5,
    share: 2,
    eager: "yes",
    dtype: "int4",
    names: [1],
    nope: 1,
  });
  assert.deepEqual(
    violations.map((violation) => violation.reason),
    [...Array(5).fill("SPEC_VALUE_INVALID"), "SPEC_KEY_UNKNOWN"],
  );
  assert.match(violations[0]?.description ?? "", /a whole number from 256 to 1024/);
  assert.match(violations[3]?.description ?? "", /one of auto, half/);
});

test("a null entry is an absent one", () => {
  assert.deepEqual(validateSpec(KEYS, { eager: null }), { ok: true, values: {} });
});

test("what is no object is refused", () => {
  for (const raw of [[], "x", 3, true]) assert.equal(violationsOf(raw)[0]?.field, "model_spec");
});

test("a name with one slip finds the key that was meant", () => {
  const names = KEYS.map((key) => key.name);
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.nat({ max: 40 }), (name, position) => {
      const cut = position % name.length;
      assert.equal(nearest(name.slice(0, cut) + name.slice(cut + 1), names), name);
    }),
  );
});

test("whatever is sent, accepted values are of the listed keys and within their limits", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom(...KEYS.map((key) => key.name), "x"), fc.jsonValue()),
      (raw) => {
        const result = validateSpec(KEYS, raw);
        if (!result.ok) return assert.ok(result.violations.length > 0);
        const context = result.values.contextTokens;
        assert.ok(
          context === undefined || (typeof context === "number" && context >= 256 && context <= 1024),
        );
        assert.equal(result.values.x, undefined);
      },
    ),
  );
});
