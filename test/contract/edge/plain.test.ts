import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { systemClock } from "../../../src/base/clock.ts";
import { bindingsOf } from "../../../src/rpc/http-rule.ts";
import { AUTHORIZED, edge, METHODS, READ_TOKEN, USER_ID, VIEWER } from "./fixture.ts";

test("health, version and the contract need no token", async (t) => {
  const { server } = edge(t, { handlers: {} });
  const health = await server.app.inject("/healthz");
  assert.deepEqual([health.statusCode, health.json()], [200, { status: "ok", databaseAgeMs: 12 }]);
  assert.deepEqual((await server.app.inject("/version")).json(), { version: "1.2.3-test" });
  assert.equal((await server.app.inject({ method: "HEAD", url: "/healthz" })).statusCode, 200);
});

test("the served OpenAPI document has every binding of every rpc, and nothing else", async (t) => {
  const { server } = edge(t, { handlers: {} });
  const document = (await server.app.inject("/openapi.json")).json();
  const served = METHODS.flatMap((method) => bindingsOf(method).map(({ verb }) => `${verb} ${method.name}`));
  const described = Object.values<Record<string, { operationId: string }>>(document.paths).flatMap((verbs) =>
    Object.entries(verbs).map(([verb, { operationId }]) => {
      return `${verb.toUpperCase()} ${operationId.replace(/^.*_/, "").replace(/\d$/, "")}`;
    }),
  );
  assert.deepEqual(described.sort(), served.sort());
});

test("/docs needs no token, loads from its own origin alone, and may not be framed", async (t) => {
  const { server } = edge(t, { handlers: {} });
  for (const url of ["/docs", "/docs/"]) {
    const page = await server.app.inject(url);
    assert.equal(page.statusCode, 200);
    const policy = String(page.headers["content-security-policy"]);
    assert.match(
      policy,
      /default-src 'none'.*script-src 'self';.*connect-src 'self'.*frame-ancestors 'none'/,
    );
    const addresses = [...page.body.matchAll(/(?:src|href|spec-url)="([^"]*)"/g)].map(
      ([, address]) => address ?? "",
    );
    assert.ok(addresses.length >= 3, page.body);
    for (const address of addresses.filter((one) => one !== "data:,")) {
      assert.match(address, /^\/[^/]/, "a path of this origin");
      assert.equal((await server.app.inject(address)).statusCode, 200, address);
    }
    const script = addresses.find((address) => address.endsWith(".js")) ?? "";
    const viewer = await server.app.inject(script);
    assert.deepEqual(viewer.rawPayload, VIEWER);
    assert.match(String(viewer.headers["content-type"]), /^text\/javascript/);
    assert.match(String(viewer.headers["cache-control"]), /immutable/);
  }
  assert.equal((await server.app.inject({ method: "POST", url: "/docs" })).statusCode, 501);
});

test("a token that may only read changes nothing", async (t) => {
  const { server } = edge(t, { handlers: { unary: (method) => create(method.output) } });
  const headers = { authorization: `Bearer ${READ_TOKEN}` };
  const refused = await server.app.inject({
    method: "POST",
    url: "/v1/models",
    headers,
    payload: "not even JSON",
  });
  assert.deepEqual([refused.statusCode, refused.json().details[0].reason], [403, "SCOPE_MISSING"]);
  assert.equal((await server.app.inject({ url: "/v1/models", headers })).statusCode, 200);
  const payload = { targetUserIds: [USER_ID] };
  const read = await server.app.inject({
    method: "POST",
    url: "/v1/admin/billing/balances",
    headers,
    payload,
  });
  assert.equal(read.statusCode, 200);
});

test("each call is one log line with who, what and how long, and no line holds a body or a token", async (t) => {
  const { server, logLines, calls } = edge(t, { handlers: { unary: (method) => create(method.output) } });
  const payload = { modelName: "canary-name", modelPath: "acme/canary", apiKey: `canary-${"k".repeat(32)}` };
  const headers = { ...AUTHORIZED, "x-request-id": "r-1" };
  await server.app.inject({ method: "POST", url: "/v1/models?q=canary", headers, payload });
  await server.app.inject({ url: "/v1/models", headers: { authorization: "Bearer canary-token" } });
  assert.equal(logLines.length, 2);
  assert.doesNotMatch(logLines.join(""), /canary/);
  const line = JSON.parse(logLines[0] ?? "");
  assert.deepEqual(
    { method: line.method, code: line.code, requestId: line.requestId, userId: line.userId },
    {
      method: "tensormesh.billing.v1.BillingModelService/DeployModel",
      code: "OK",
      requestId: "r-1",
      userId: USER_ID,
    },
  );
  assert.equal(typeof line.durationMs, "number");
  assert.deepEqual(
    calls.map(({ code }) => code),
    ["OK", "UNAUTHENTICATED"],
  );
});

test("closing waits for the unary calls that run", async (t) => {
  const started = Promise.withResolvers<void>();
  const { server } = edge(t, {
    handlers: {
      async unary(method) {
        started.resolve();
        await systemClock.sleep(20);
        return create(method.output);
      },
    },
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const answer = fetch(`http://127.0.0.1:${port}/v1/models`, { headers: AUTHORIZED });
  await started.promise;
  await server.close();
  assert.equal((await answer).status, 200);
});
