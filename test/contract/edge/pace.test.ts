import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { UserService } from "../../../gen/tensormesh/user/v1/user_service_pb.js";
import { addressId } from "../../../src/base/pace.ts";
import type { CallerKind, PaceCheck } from "../../../src/rpc/ports.ts";
import { AUTHORIZED, edge, TOKEN } from "./fixture.ts";

const POLICY = { requestsMax: 3, windowMs: 60_000 };

/** Three of each, and then no more for another 42.5 s. */
function threeEach(kinds: readonly CallerKind[]): PaceCheck & { readonly asked: string[] } {
  const left = new Map<string, number>();
  const asked: string[] = [];
  const check: PaceCheck = (kind, id) => {
    if (!kinds.includes(kind)) return undefined;
    asked.push(`${kind} ${id}`);
    const remaining = (left.get(`${kind} ${id}`) ?? POLICY.requestsMax) - 1;
    left.set(`${kind} ${id}`, remaining);
    return { allowed: remaining >= 0, policy: POLICY, remaining: Math.max(0, remaining), resetMs: 42_500 };
  };
  return Object.assign(check, { asked });
}

test("each answer tells a token how it stands; past its limit it is refused with when to come again", async (t) => {
  const { server, calls } = edge(t, {
    handlers: { unary: (method) => create(method.output) },
    pace: threeEach(["token"]),
  });
  const ask = () => server.app.inject({ url: "/v1/models", headers: AUTHORIZED });
  const first = await ask();
  assert.equal(first.statusCode, 200);
  assert.equal(first.headers["ratelimit-policy"], '"token";q=3;w=60');
  assert.equal(first.headers.ratelimit, '"token";r=2;t=43');
  await ask();
  await ask();
  const refused = await ask();
  assert.equal(refused.statusCode, 429);
  assert.equal(refused.headers["retry-after"], "43");
  const [info, retry] = refused.json().details;
  assert.equal(info.reason, "RATE_LIMITED");
  assert.deepEqual(info.metadata, { limitedBy: "token", requestsMax: "3", windowSeconds: "60" });
  assert.equal(retry.retryDelay, "42.500s");
  assert.equal(calls.at(-1)?.code, "RESOURCE_EXHAUSTED");
});

test("an address is refused before its token is looked up or its body read; health is always told", async (t) => {
  const { server } = edge(t, { handlers: {}, pace: threeEach(["address"]) });
  const ask = () =>
    server.app.inject({
      method: "POST",
      url: "/v1/models",
      headers: { authorization: "Bearer nonsense" },
      payload: "{",
    });
  for (let n = 0; n < 3; n++) assert.equal((await ask()).statusCode, 401);
  const refused = await ask();
  assert.deepEqual([refused.statusCode, refused.json().details[0].metadata.limitedBy], [429, "address"]);
  assert.equal((await server.app.inject("/healthz")).statusCode, 200);
});

test("who calls by Connect is counted and told alike", async (t) => {
  const { server } = edge(t, {
    handlers: { unary: (method) => create(method.output) },
    pace: threeEach(["token"]),
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const transport = createConnectTransport({ baseUrl: `http://127.0.0.1:${port}`, httpVersion: "1.1" });
  const client = createClient(UserService, transport);
  const headers = { authorization: `Bearer ${TOKEN}` };
  let told = "";
  const onHeader = (header: Headers) => {
    told = header.get("ratelimit") ?? "";
  };
  await client.getUserProfile({}, { headers, onHeader });
  assert.equal(told, '"token";r=2;t=43');
  await client.getUserProfile({}, { headers });
  await client.getUserProfile({}, { headers });
  await assert.rejects(client.getUserProfile({}, { headers }), (error) => {
    assert.ok(error instanceof ConnectError);
    assert.equal(error.code, Code.ResourceExhausted);
    assert.equal(error.metadata.get("retry-after"), "43");
    return true;
  });
});

test("X-Forwarded-For is believed of proxies that were named, and of nobody else", async (t) => {
  const headers = { ...AUTHORIZED, "x-forwarded-for": "198.51.100.7" };
  for (const [trustedProxies, seen] of [
    [[], "address 127.0.0.1"],
    [["127.0.0.0/8"], "address 198.51.100.7"],
  ] as const) {
    const pace = threeEach(["address"]);
    const { server } = edge(t, {
      handlers: { unary: (method) => create(method.output) },
      pace,
      trustedProxies,
    });
    await server.app.inject({ url: "/v1/models", headers });
    assert.deepEqual(pace.asked, [seen]);
  }
});

test("an IPv6 address counts as its network, an IPv4 one as itself", () => {
  assert.equal(addressId("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  assert.equal(addressId("2001:db8::6"), "2001:db8:0:0::/64");
  assert.equal(addressId("2001:0DB8::1"), addressId("2001:db8::2"));
  assert.equal(addressId("::1"), "0:0:0:0::/64");
  assert.equal(addressId("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(addressId("fe80::1%eth0"), "fe80:0:0:0::/64");
  assert.equal(addressId("192.0.2.1"), "192.0.2.1");
});
