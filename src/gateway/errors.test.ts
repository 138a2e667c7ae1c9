import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { BELOW, chat, oneModel, SERVED_NAME, until } from "../../test/support/gateway/gateway.ts";
import { MODEL_KEY, routeOf } from "../../test/support/gateway/memory-control.ts";
import { rawClient } from "../../test/support/gateway/raw-client.ts";
import { systemClock } from "../base/clock.ts";
import { createRateLimit } from "../rate-limit/index.ts";

const PACE = { requestsMax: 3, windowMs: 60_000 };
const PATH = `${BELOW}/v1/chat/completions`;

interface Envelope {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
    readonly metadata?: Readonly<Record<string, string>>;
  };
}

async function errorOf(response: Response) {
  assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
  assert.ok(response.headers.get("slipway-request-id"));
  const { error } = (await response.json()) as Envelope;
  assert.ok(error.message.length > 10, error.message);
  return { status: response.status, ...error };
}

function post(on: { url: string }, path: string, init: RequestInit & { duplex?: "half" }): Promise<Response> {
  const headers = { authorization: `Bearer ${MODEL_KEY}`, "content-type": "application/json" };
  return fetch(`${on.url}${path}`, { method: "POST", headers, ...init });
}

test("what is no request of this surface is refused in OpenAI's envelope", async (t) => {
  const on = await oneModel(t);
  const cases: [Promise<Response>, number, string, string | null][] = [
    [post(on, PATH, { body: "{" }), 400, "malformed_json", null],
    [post(on, PATH, { body: "[]" }), 400, "malformed_json", null],
    [post(on, PATH, { body: "" }), 400, "malformed_json", null],
    [post(on, PATH, { body: `{"model":5}` }), 400, "invalid_field", "model"],
    [post(on, PATH, { body: `{"n":"5"}` }), 400, "invalid_field", "n"],
    [post(on, PATH, { body: `{"max_tokens":1.5}` }), 400, "invalid_field", "max_tokens"],
    [post(on, PATH, { body: `{"max_completion_tokens":-1}` }), 400, "invalid_field", "max_completion_tokens"],
    [
      post(on, PATH, { body: "{}", headers: { "content-type": "text/plain" } }),
      415,
      "unsupported_content_type",
      null,
    ],
    [post(on, `${BELOW}/v1/nothing`, { body: "{}" }), 404, "unknown_path", null],
    [post(on, "/m/not-a-uuid/v1/chat/completions", { body: "{}" }), 404, "unknown_path", null],
    [fetch(`${on.url}${PATH}`), 405, "method_not_allowed", null],
    [post(on, "/v1/models", { body: "{}" }), 405, "method_not_allowed", null],
    [fetch(`${on.url}/health`, { method: "DELETE" }), 405, "method_not_allowed", null],
  ];
  for (const [answer, status, code, param] of cases) {
    const error = await errorOf(await answer);
    assert.deepEqual([error.status, error.code, error.param], [status, code, param]);
    assert.equal(error.type, "invalid_request_error");
  }
  assert.equal(on.replica.asked.length, 0);
});

test("a body over the bound is refused, told or not how long it is, and the gateway lives on", async (t) => {
  const on = await oneModel(t, { limits: { bodyMaxBytes: 10_000 } });
  const told = await errorOf(await post(on, PATH, { body: "x".repeat(20_000) }));
  assert.deepEqual([told.status, told.code], [413, "body_too_large"]);

  const client = rawClient(on.port);
  client.socket.write(
    `POST ${PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${MODEL_KEY}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`,
  );
  for (let i = 0; i < 20; i++) client.socket.write(`3e8\r\n${"x".repeat(1_000)}\r\n`);
  await client.until((text) => text.startsWith("HTTP/1.1 413 "));
  for (let i = 0; i < 20; i++) client.socket.write(`3e8\r\n${"x".repeat(1_000)}\r\n`);
  client.socket.write("0\r\n\r\n");
  await client.closed;
  assert.equal((await chat(on)).status, 200);
});

test("headers over the bound and what is no HTTP are answered on the bare socket", async (t) => {
  const on = await oneModel(t);
  const large = rawClient(on.port);
  large.socket.write(`GET /health HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(20_000)}\r\n\r\n`);
  const answer = await large.closed;
  assert.match(answer, /^HTTP\/1\.1 431 /);
  assert.equal(JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)).error.code, "headers_too_large");
  const broken = rawClient(on.port);
  broken.socket.write("broken\r\n\r\n");
  assert.match(await broken.closed, /^HTTP\/1\.1 400 /);
  const both = rawClient(on.port);
  both.socket.write(
    `POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  );
  assert.match(await both.closed, /^HTTP\/1\.1 400 /);
});

test("a model that is getting ready is 503 with Retry-After and why; one that won't by itself is 409", async (t) => {
  const on = await oneModel(t);
  on.control.routes = [
    routeOf([], {
      status: "LOADING",
      reason: "WEIGHTS_LOADING",
      message: "Weights are loading.",
      retryAfterMs: 2_500,
    }),
  ];
  const response = await chat(on);
  assert.equal(response.headers.get("retry-after"), "3");
  const loading = await errorOf(response);
  assert.deepEqual([loading.status, loading.code], [503, "model_not_ready"]);
  assert.match(loading.message, /Weights are loading\./);
  assert.deepEqual(loading.metadata, { status: "LOADING", reason: "WEIGHTS_LOADING" });

  on.control.routes = [
    routeOf([], { status: "PAUSED", reason: "PAUSED_BY_OWNER", message: "Paused.", retryAfterMs: 0 }),
  ];
  on.control.tell(`model:${routeOf([]).modelId}`);
  const paused = await errorOf(await chat(on));
  assert.deepEqual([paused.status, paused.code], [409, "model_not_serving"]);
});

test("a key that asks too fast or too much at once is told when to try again", async (t) => {
  const { take } = createRateLimit(systemClock, { key: PACE, address: undefined });
  const on = await oneModel(t, { pace: take });
  const answers = await Promise.all(Array.from({ length: 6 }, () => chat(on)));
  const [refused, served] = [true, false].map((is) => answers.filter((one) => (one.status === 429) === is));
  assert.deepEqual([refused?.length, served?.length], [3, 3]);
  for (const answer of served ?? []) {
    assert.equal(answer.headers.get("ratelimit-policy"), '"key";q=3;w=60');
    assert.match(answer.headers.get("ratelimit") ?? "", /^"key";r=[012];t=\d+$/);
  }
  for (const answer of refused ?? []) {
    const waitS = Number(answer.headers.get("retry-after"));
    assert.ok(waitS >= 1 && waitS <= 60, `${waitS} s`);
    const error = await errorOf(answer);
    assert.deepEqual([error.type, error.code], ["rate_limit_error", "rate_limited"]);
    assert.deepEqual(error.metadata, { limitedBy: "key", requestsMax: "3", windowSeconds: "60" });
  }

  const busy = await oneModel(t, { limits: { keyConcurrencyMax: 2 } });
  busy.replica.behave = () => {};
  const stop = new AbortController();
  const waiting = [1, 2].map(() => chat(busy, {}, { signal: stop.signal }).catch(() => {}));
  await until(() => busy.replica.asked.length === 2);
  assert.equal((await chat(busy)).status, 429);
  stop.abort();
  await Promise.all(waiting);
});

test("an address that asks too often is told so before anything is read, whatever key it shows; behind a proxy each caller counts", async (t) => {
  const { take } = createRateLimit(systemClock, { key: undefined, address: PACE });
  const on = await oneModel(t, { pace: take, trustedProxies: ["127.0.0.1"] });
  const from = (address: string, key: string) =>
    chat(on, {}, { key, headers: { "x-forwarded-for": `198.51.100.7, ${address}` } });
  const statuses = [];
  for (const key of ["sk-guess-1", "sk-guess-2", "sk-guess-3", "sk-guess-4"]) {
    statuses.push((await from("203.0.113.9", key)).status);
  }
  assert.deepEqual(statuses, [401, 401, 401, 429]);
  assert.equal((await from("203.0.113.10", MODEL_KEY)).status, 200);
  assert.equal(
    (await fetch(`${on.url}/health`, { headers: { "x-forwarded-for": "203.0.113.9" } })).status,
    200,
  );
});

test("a request id is the gateway's own, also where the client sends one", async (t) => {
  const on = await oneModel(t);
  const response = await chat(on, {}, { headers: { "x-request-id": "mine", "slipway-request-id": "mine" } });
  const id = response.headers.get("slipway-request-id");
  const [record] = await on.shipped(1);
  assert.equal(record?.requestId, id);
  assert.notEqual(id, "mine");
  assert.equal(on.replica.asked[0]?.headers["x-request-id"], id);
});

test("neither a prompt nor a key is ever logged, whatever fails", async (t) => {
  const { Writable } = await import("node:stream");
  const { pino } = await import("pino");
  let text = "";
  const into = new Writable({
    write(piece, _encoding, done) {
      text += String(piece);
      done();
    },
  });
  const on = await oneModel(t, { log: pino({ level: "trace" }, into) });
  const canary = "canary-in-the-prompt";
  const key = "sk-canary-in-the-key";
  const more = { messages: [{ role: "user", content: canary }], stream: true };
  on.replica.behave = (_asked, socket) => void socket.destroy();
  await (await chat(on, more)).text();
  await (await chat(on, more, { key })).text();
  await (await post(on, PATH, { body: `{"messages": "${canary}` })).text();
  on.control.shippingFails = true;
  on.replica.behave = (_asked, socket) => void socket.write(`${canary}\r\n\r\n`);
  await (await chat(on, more)).text();
  on.control.down = true;
  await (await chat(on, { model: canary }, { key, path: "/v1/chat/completions" })).text();
  await until(() => text.includes("could not be"));
  on.control.down = false;
  on.control.shippingFails = false;
  assert.ok(!text.includes(canary) && !text.includes(key) && !text.includes(MODEL_KEY));
  assert.ok(!text.includes(on.replica.route.engineKey));
});

test("a client that sends half a request and goes leaves nothing", async (t) => {
  const on = await oneModel(t);
  const socket = connect({ port: on.port, host: "127.0.0.1" });
  const body = JSON.stringify({ model: SERVED_NAME });
  socket.write(
    `POST ${PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n${body}`,
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  socket.resetAndDestroy();
  assert.equal((await chat(on)).status, 200);
  assert.deepEqual(on.gateway.counts(), { admitted: 1, finished: 1, active: 0 });
});
