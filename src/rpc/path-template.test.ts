import assert from "node:assert/strict";
import { test } from "node:test";
import { compareTemplates, cutPath, matchPath, parsePathTemplate } from "./path-template.ts";

function match(template: string, path: string): Record<string, string> | undefined {
  const values = matchPath(parsePathTemplate(template), cutPath(path));
  return values && Object.fromEntries(values.map(({ fieldPath, value }) => [fieldPath.join("."), value]));
}

test("a variable takes exactly one segment, decoded", () => {
  assert.deepEqual(match("/v1/models/{model_id}", "/v1/models/a%2Fb%20c"), { model_id: "a/b c" });
  assert.equal(match("/v1/models/{model_id}", "/v1/models"), undefined);
  assert.equal(match("/v1/models/{model_id}", "/v1/models/"), undefined);
  assert.equal(match("/v1/models/{model_id}", "/v1/models/a/b"), undefined);
});

test("a verb is not read as part of the variable before it", () => {
  assert.deepEqual(match("/v1/models/{model_id}:pause", "/v1/models/m-1:pause"), { model_id: "m-1" });
  assert.equal(match("/v1/models/{model_id}:pause", "/v1/models/m-1:resume"), undefined);
  assert.equal(match("/v1/models/{model_id}:pause", "/v1/models/:pause"), undefined);
  assert.deepEqual(match("/v1/models:preflight", "/v1/models:preflight"), {});
  assert.equal(match("/v1/models", "/v1/models:preflight"), undefined);
});

test("patterns, nested fields and the rest of the path fill their fields", () => {
  assert.deepEqual(match("/v1/{name=users/*/models/*}", "/v1/users/u/models/m"), {
    name: "users/u/models/m",
  });
  assert.deepEqual(match("/v1/models/{model.model_id}", "/v1/models/m"), { "model.model_id": "m" });
  assert.deepEqual(match("/v1/catalog/{served_name=**}", "/v1/catalog/org/name"), {
    served_name: "org/name",
  });
  assert.deepEqual(match("/v1/catalog/{served_name=**}", "/v1/catalog/org%2Fname"), {
    served_name: "org/name",
  });
  assert.deepEqual(match("/v1/{name=**}/events/{id}", "/v1/a/b/events/7"), { name: "a/b", id: "7" });
  assert.equal(match("/v1/catalog/{served_name=**}", "/v1/catalog"), undefined);
});

test("an encoded slash inside a path of several segments stays encoded", () => {
  assert.deepEqual(match("/v1/{name=users/*}", "/v1/users/a%2Fb"), { name: "users/a%2Fb" });
});

test("a broken percent-encoding is an error, not a miss", () => {
  assert.throws(() => match("/v1/models/{model_id}", "/v1/models/%zz"), URIError);
});

test("verbs come first, fixed texts before variables, one segment before the rest", () => {
  const templates = [
    "/v1/{name=**}",
    "/v1/users/{user_id}",
    "/v1/users/api-keys",
    "/v1/users/{user_id}:stop",
  ];
  const sorted = templates
    .map((text) => ({ text, template: parsePathTemplate(text) }))
    .sort((a, b) => compareTemplates(a.template, b.template));
  assert.deepEqual(
    sorted.map(({ text }) => text),
    ["/v1/users/{user_id}:stop", "/v1/users/api-keys", "/v1/users/{user_id}", "/v1/{name=**}"],
  );
});

test("a template that the grammar does not know is refused when the contract is read", () => {
  assert.throws(() => parsePathTemplate("v1/models"), /not a path template/);
  assert.throws(() => parsePathTemplate("/v1/{a{b}}"), /not a path template/);
});
