import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "../base/status.ts";
import { jsonSchemaGrammar } from "./json-grammar.ts";

function refusal(schema: unknown): StatusError {
  try {
    jsonSchemaGrammar(schema, { param: "response_format", lenient: false });
  } catch (error) {
    if (error instanceof StatusError) return error;
  }
  throw new Error("the schema was not refused");
}

test("what a grammar can't hold is refused by its place in the schema", () => {
  const error = refusal({ type: "object", properties: { age: { type: "integer", minimum: 3 } } });
  assert.equal(error.violations[0]?.field, "response_format.properties.age.minimum");
});

test("the same is left out where the request is lenient", () => {
  const schema = { type: "string", pattern: "^a", maxLength: 100_000 };
  assert.match(jsonSchemaGrammar(schema, { param: "tools", lenient: true }), /^root ::= r0\n/);
});

test("broken schemas are refused: unknown types, dangling references, undescribed required properties, empty choices", () => {
  const broken = [
    { type: "text" },
    { $ref: "#/$defs/none" },
    { type: "object", properties: {}, required: ["a"] },
    { enum: [] },
    { type: "string", maxLength: 5_000 },
    "string",
  ];
  for (const schema of broken) assert.equal(refusal(schema).code, "INVALID_ARGUMENT");
});

test("a schema without bounds is refused instead of built", () => {
  let deep: unknown = { type: "string" };
  for (let depth = 0; depth < 100; depth++) deep = { type: "array", items: deep };
  const properties = Object.fromEntries(
    Array.from({ length: 2_000 }, (_, index) => [`p${index}`, { type: "string" }]),
  );
  for (const schema of [deep, { type: "object", properties }])
    assert.match(refusal(schema).message, /too large/);
});
