import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  type DescField,
  type DescMethod,
  equals,
  type JsonObject,
  type Message,
  toJson,
} from "@bufbuild/protobuf";
import { bindingsOf, type HttpBinding } from "../../../src/rpc/http-rule.ts";
import { AUTHORIZED, type Edge, edge, isUnary, METHODS } from "./fixture.ts";
import { assertGolden } from "./golden.ts";
import { sample } from "./sample.ts";

const UNARY = METHODS.filter(isUnary);

/** Path, query and body of a request, as the binding wants them. */
function written(binding: HttpBinding, request: Message, useProtoFieldName: boolean) {
  const { input } = binding.method;
  const json = toJson(input, request, { useProtoFieldName }) as JsonObject;
  const nameOf = (field: DescField) => (useProtoFieldName ? field.name : field.jsonName);
  const names = binding.template.variables.map(({ fieldPath }) => fieldPath[0] ?? "");
  const rest = input.fields.filter((field) => !names.includes(field.name));
  let at = 0;
  const segments = binding.template.segments.map((segment, index) => {
    if (segment.kind === "literal") return segment.text;
    const variable = binding.template.variables.find(({ start }) => start === index);
    const field = input.fields.find(({ name }) => name === variable?.fieldPath[0]);
    at++;
    return String(field && json[nameOf(field)]);
  });
  assert.equal(at, names.length);
  const query = new URLSearchParams();
  if (binding.body !== "*") {
    for (const field of rest.filter(({ name }) => name !== binding.body)) {
      for (const value of [json[nameOf(field)]].flat()) query.append(nameOf(field), String(value));
    }
  }
  const bodyField = input.fields.find(({ name }) => name === binding.body);
  const body = bodyField
    ? json[nameOf(bodyField)]
    : Object.fromEntries(rest.map((field) => [nameOf(field), json[nameOf(field)]]));
  const verb = binding.template.verb === "" ? "" : `:${binding.template.verb}`;
  return {
    url: `/${segments.join("/")}${verb}?${query}`,
    ...(binding.body === "" ? {} : { payload: JSON.stringify(body) }),
  };
}

async function send({ server }: Edge, binding: HttpBinding, request: Message, useProtoFieldName = false) {
  const { url, payload } = written(binding, request, useProtoFieldName);
  return server.app.inject({
    method: binding.verb,
    url,
    headers: { ...AUTHORIZED, ...(payload === undefined ? {} : { "content-type": "application/json" }) },
    ...(payload === undefined ? {} : { payload }),
  });
}

/** A sample request whose second binding's path field is not also in the query. */
function requestFor(method: DescMethod): Message {
  return sample(method.input);
}

test("every field of every request arrives over REST, by either of its names and by every binding", async (t) => {
  let seen: Message | undefined;
  const edges = edge(t, {
    handlers: {
      unary(method, request) {
        seen = request;
        return create(method.output);
      },
    },
  });
  for (const method of UNARY) {
    for (const binding of bindingsOf(method)) {
      for (const useProtoFieldName of [false, true]) {
        const request = requestFor(method);
        const response = await send(edges, binding, request, useProtoFieldName);
        assert.equal(response.statusCode, 200, `${method}: ${response.body}`);
        assert.equal(response.headers["slipway-ignored-fields"], undefined, `${method}`);
        assert.ok(seen && equals(method.input, request, seen), `${method}: the request changed on its way`);
      }
    }
  }
});

/** The JSON of an answer; of a document its type and bytes. */
function answered(binding: HttpBinding, { headers, body, json }: Awaited<ReturnType<typeof send>>): unknown {
  const type = String(headers["content-type"]);
  if (binding.responseBody !== "") return { type, body };
  assert.match(type, /^application\/json/);
  return json();
}

test("every rpc has a REST binding", () => {
  assert.deepEqual(
    METHODS.filter((method) => bindingsOf(method).length === 0),
    [],
  );
});

for (const service of new Set(UNARY.map((method) => method.parent))) {
  test(`${service.name} answers as the golden file says, full and empty`, async (t) => {
    let full = true;
    const edges = edge(t, {
      handlers: { unary: (method) => (full ? sample(method.output) : create(method.output)) },
    });
    const golden: Record<string, { full: unknown; empty: unknown }> = {};
    for (const method of service.methods.filter(isUnary)) {
      const [binding] = bindingsOf(method);
      assert.ok(binding);
      full = true;
      const answer = await send(edges, binding, requestFor(method));
      full = false;
      const empty = await send(edges, binding, requestFor(method));
      golden[method.name] = { full: answered(binding, answer), empty: answered(binding, empty) };
    }
    assertGolden(service.name, golden);
  });
}
