import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type Message } from "@bufbuild/protobuf";
import type { InjectOptions } from "fastify";
import { DeployModelResponseSchema } from "../../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import { StatusError } from "../../../src/base/status.ts";
import { AUTHORIZED, edge } from "./fixture.ts";
import { assertGolden } from "./golden.ts";
import { SAMPLE_UUID } from "./sample.ts";

const JSON_HEADERS = { ...AUTHORIZED, "content-type": "application/json" };
const SECRET = "canary-secret-in-the-body";

/** A deploy with some fields changed. */
function deploy(fields: object): InjectOptions {
  const payload = JSON.stringify({ modelName: "chat", modelPath: "acme/tiny", ...fields });
  return { method: "POST", url: "/v1/models", headers: JSON_HEADERS, payload };
}

function raw(payload: string | Buffer, headers: Record<string, string> = JSON_HEADERS): InjectOptions {
  return { method: "POST", url: "/v1/models", headers, payload };
}

function get(url: string): InjectOptions {
  return { method: "GET", url, headers: AUTHORIZED };
}

/** Errors that a domain throws, by the modelName that asks for them. */
const THROWN: Readonly<Record<string, () => unknown>> = {
  taken: () =>
    new StatusError({
      code: "ALREADY_EXISTS",
      reason: "MODEL_NAME_TAKEN",
      message: "You already have a model of this name.",
    }),
  poor: () =>
    new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "BALANCE_TOO_LOW",
      message: "The balance is too low.",
      metadata: { needed: "1.50 USD", available: "0.20 USD" },
    }),
  busy: () =>
    new StatusError({
      code: "UNAVAILABLE",
      reason: "PROVIDER_UNREACHABLE",
      message: "The provider does not answer.",
      retryAfterMs: 1_500,
    }),
  broken: () => new Error(`password is ${SECRET}`),
};

/** Each bad request that the contract speaks of, by name. */
const CASES: Readonly<Record<string, InjectOptions>> = {
  "no token": { method: "GET", url: "/auth/profile" },
  "another scheme than Bearer": {
    method: "GET",
    url: "/auth/profile",
    headers: { authorization: "Basic YTpi" },
  },
  "a wrong token": { method: "GET", url: "/auth/profile", headers: { authorization: "Bearer nobody" } },
  "an unknown path": get("/v1/nothing"),
  "the root": get("/"),
  "a wrong verb": { method: "PUT", url: "/v1/models", headers: AUTHORIZED },
  "a wrong verb where the path has a :verb": {
    method: "GET",
    url: `/v1/models/${SAMPLE_UUID}:pause`,
    headers: AUTHORIZED,
  },
  "a wrong verb on a plain route": { method: "POST", url: "/healthz" },
  "a wrong content type": raw("modelName=chat", {
    ...AUTHORIZED,
    "content-type": "application/x-www-form-urlencoded",
  }),
  "malformed JSON": raw(`{"apiKey": "${SECRET}", "modelName": }`),
  "JSON that ends too early": raw(`{"apiKey": "${SECRET}"`),
  "a body that is no object": raw(`["${SECRET}"]`),
  "a body that is not UTF-8": raw(Buffer.from([0x7b, 0xff, 0x7d])),
  "a body nested too deeply": raw(`{"modelSpec":{"a":${"[".repeat(100)}${"]".repeat(100)}}}`),
  "a body with the key __proto__": raw('{"modelSpec":{"__proto__":{"a":1}}}'),
  "a body too large": raw(`{"description": "${"x".repeat(70_000)}"}`),
  "an empty body": { method: "POST", url: "/v1/models", headers: AUTHORIZED },
  "a malformed UUID in the path": get("/v1/models/not-a-uuid"),
  "a malformed UUID in the body": deploy({ userId: "not-a-uuid" }),
  "a broken percent-encoding": get("/v1/models/%zz"),
  "an empty name": deploy({ modelName: "" }),
  "a name with a control character": deploy({ modelName: "a\nb" }),
  "an unknown enum name": deploy({ gpuType: "GPU_TYPE_H900" }),
  "an unknown enum number": deploy({ gpuType: 77 }),
  "an unknown enum name in the query": get("/v1/models?status=MODEL_STATUS_ASLEEP"),
  "an unknown enum name in a oneof": deploy({ infra: { nebiusRegion: "MOON" } }),
  "a negative count": deploy({ gpuCount: -1 }),
  "a number in a text": deploy({ modelName: 5 }),
  "a text in a number": deploy({ gpuCount: "two" }),
  "a fraction in a whole number": deploy({ gpuCount: 1.5 }),
  "a number out of range": deploy({ gpuCount: 3_000_000_000 }),
  "a text in a boolean": deploy({ kvCacheEnabled: "yes" }),
  "a list in an object": deploy({ infra: [] }),
  "a text in an object": deploy({ modelSpec: "maxModelLen" }),
  "a field by both of its names": deploy({ model_name: "again" }),
  "two regions": deploy({ infra: { nebiusRegion: "NEBIUS_REGION_EU_WEST1", onpremRegion: "local" } }),
  "a key that is too short": deploy({ apiKey: "short" }),
  "the NUL character": deploy({ description: "a\u0000b" }),
  "the NUL character deep inside": deploy({ modelSpec: { a: [{ b: "\u0000" }] } }),
  "a page size below zero": get("/v1/models?pageSize=-1"),
  "a page size that is no number": get("/v1/models?pageSize=many"),
  "a parameter given twice": get("/v1/models?pageSize=1&pageSize=2"),
  "an unknown order": get("/v1/models?orderBy=color"),
  "a time that is none": {
    method: "POST",
    url: "/v1/users/api-keys",
    headers: JSON_HEADERS,
    payload: '{"expiresAt":"tomorrow"}',
  },
  "an amount of zero": {
    method: "POST",
    url: "/v1/admin/billing/balances:add",
    headers: JSON_HEADERS,
    payload: `{"targetUserId":"${SAMPLE_UUID}","amount":{"currencyCode":"USD"}}`,
  },
  "an inexact number": {
    method: "POST",
    url: "/v1/admin/billing/balances:add",
    headers: JSON_HEADERS,
    payload: `{"targetUserId":"${SAMPLE_UUID}","amount":{"currencyCode":"USD","units":9007199254740993}}`,
  },
  "many mistakes at once": deploy({
    modelName: "",
    gpuCount: -2,
    gpuType: "TPU",
    userId: "x",
    hfToken: 5,
    replicas: 65,
  }),
  "mistakes inside a body that fills a field": {
    method: "POST",
    url: "/v1/models:preflight",
    headers: JSON_HEADERS,
    payload: '{"modelName":"","gpuCount":-1,"modelPath":"acme/tiny"}',
  },
  "wrong types inside a body that fills a field": {
    method: "POST",
    url: "/v1/models:preflight",
    headers: JSON_HEADERS,
    payload: '{"modelName":"chat","gpuCount":"x","modelPath":"acme/tiny"}',
  },
  "what a domain refuses": deploy({ modelName: "taken" }),
  "what a domain refuses with facts": deploy({ modelName: "poor" }),
  "what may work later": deploy({ modelName: "busy" }),
  "what nobody expected": deploy({ modelName: "broken" }),
};

function fails(request: Message): Message {
  const name = "modelName" in request ? String(request.modelName) : "";
  const thrown = THROWN[name];
  if (thrown) throw thrown();
  return create(DeployModelResponseSchema);
}

test("every error is google.rpc.Status JSON with its own reason, as the golden file says", async (t) => {
  const { server, logLines } = edge(t, {
    handlers: { unary: (_method, request) => fails(request) },
    limits: { bodyMaxBytes: 65_536 },
  });
  const golden: Record<string, unknown> = {};
  for (const [name, request] of Object.entries(CASES)) {
    const { statusCode, headers, body } = await server.app.inject(request);
    assert.match(String(headers["content-type"]), /^application\/json/, name);
    assert.ok(headers["x-request-id"], name);
    assert.ok(!body.includes(SECRET), `${name}: the answer quotes the request`);
    golden[name] = {
      status: statusCode,
      ...(headers["retry-after"] ? { retryAfter: headers["retry-after"] } : {}),
      ...(headers["www-authenticate"] ? { wwwAuthenticate: headers["www-authenticate"] } : {}),
      body: JSON.parse(body),
    };
  }
  assertGolden("errors", golden);
  const quoting = logLines.filter((line) => line.includes(SECRET));
  assert.deepEqual(
    quoting.map((line) => JSON.parse(line).level),
    [50],
    "only the unexpected error itself is in the log, for the operator",
  );
});

test("an error of ours is logged with the request id that the caller got, and its text stays in the log", async (t) => {
  const { server, logLines } = edge(t, { handlers: { unary: (_method, request) => fails(request) } });
  const response = await server.app.inject({
    ...deploy({ modelName: "broken" }),
    headers: { ...JSON_HEADERS, "x-request-id": "my-id.1" },
  });
  assert.equal(response.headers["x-request-id"], "my-id.1");
  const line = logLines.map((text) => JSON.parse(text)).find(({ level }) => level === 50);
  assert.equal(line.requestId, "my-id.1");
  assert.match(line.err.message, /password/);
  assert.doesNotMatch(response.body, /password/);
});

test("a request id that could break a log line is replaced", async (t) => {
  const { server } = edge(t, { handlers: {} });
  const response = await server.app.inject({ url: "/version", headers: { "x-request-id": 'a"}\u00e9' } });
  assert.match(String(response.headers["x-request-id"]), /^[0-9a-f-]{36}$/);
});
