import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcp } from "node:net";
import { type TestContext, test } from "node:test";
import { createGuardedClient, type GuardedClient, type GuardedClientOptions } from "./guarded-client.ts";
import { StatusError } from "./status.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(t: TestContext, handler: Handler): Promise<string> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A port that counts who connects and says nothing. */
async function listening(t: TestContext): Promise<{ port: number; connections: () => number }> {
  let connections = 0;
  const server = createTcp((socket) => {
    connections++;
    socket.destroy();
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, connections: () => connections };
}

function client(t: TestContext, options: Partial<GuardedClientOptions> = {}): GuardedClient {
  const made = createGuardedClient({ allowed: [], userAgent: "test", ...options });
  t.after(() => made.close());
  return made;
}

const LIMITS = { deadlineMs: 5_000, bodyBytesMax: 10_000 };

function reasonIs(reason: string): (error: unknown) => boolean {
  return (error) => error instanceof StatusError && error.reason === reason;
}

test("a listed host is reached over http and its whole answer comes back", async (t) => {
  const host = await serve(t, (request, response) =>
    response.setHeader("x-agent", String(request.headers["user-agent"])).end("hello"),
  );
  const answer = await client(t, { allowed: [host] }).fetch({ url: `http://${host}/a?b=c`, ...LIMITS });
  assert.equal(answer.status, 200);
  assert.equal(answer.body.toString(), "hello");
  assert.equal(answer.headers["x-agent"], "test");
});

test("plain http is refused for a host that the operator did not list", async (t) => {
  await assert.rejects(client(t).fetch({ url: "http://example.com/", ...LIMITS }), reasonIs("URL_REFUSED"));
});

for (const address of [
  "127.0.0.1",
  "2130706433",
  "0x7f.1",
  "10.1.2.3",
  "172.16.0.1",
  "192.168.1.1",
  "169.254.169.254",
  "100.64.0.1",
  "0.0.0.0",
  "224.0.0.1",
  "[::1]",
  "[::]",
  "[::ffff:127.0.0.1]",
  "[::ffff:a9fe:a9fe]",
  "[64:ff9b::7f00:1]",
  "[2002:7f00:1::]",
  "[fd00:ec2::254]",
  "[fe80::1]",
  "[fec0::1]",
  "[ff02::1]",
]) {
  test(`the address ${address} is refused, however it is written`, async (t) => {
    await assert.rejects(client(t).fetch({ url: `https://${address}/`, ...LIMITS }), reasonIs("URL_REFUSED"));
  });
}

test("a name that leads to a private address is refused before anything is connected", async (t) => {
  const { port, connections } = await listening(t);
  const guarded = client(t, { resolve: async () => [{ address: "127.0.0.1", family: 4 }] });
  await assert.rejects(
    guarded.fetch({ url: `https://innocent.example:${port}/`, ...LIMITS }),
    reasonIs("URL_REFUSED"),
  );
  assert.equal(connections(), 0);
});

test("a name with one public and one private address is refused", async (t) => {
  const guarded = client(t, {
    resolve: async () => [
      { address: "93.184.216.34", family: 4 },
      { address: "::ffff:10.0.0.1", family: 6 },
    ],
  });
  await assert.rejects(guarded.fetch({ url: "https://mixed.example/", ...LIMITS }), reasonIs("URL_REFUSED"));
});

test("a name that changes its address between two calls is judged again each time", async (t) => {
  const { port, connections } = await listening(t);
  const answers = ["127.0.0.1", "169.254.169.254"];
  const asked: string[] = [];
  const guarded = client(t, {
    allowed: ["127.0.0.0/8"],
    resolve: async (name) => {
      asked.push(name);
      return [{ address: answers[asked.length - 1] ?? "", family: 4 }];
    },
  });
  const url = `https://rebind.example:${port}/`;
  await assert.rejects(guarded.fetch({ url, ...LIMITS }), reasonIs("UNAVAILABLE"));
  await assert.rejects(guarded.fetch({ url, ...LIMITS }), reasonIs("URL_REFUSED"));
  assert.equal(connections(), 1);
  assert.deepEqual(asked, ["rebind.example", "rebind.example"]);
});

test("a redirect to the metadata address is refused", async (t) => {
  for (const location of [
    "https://169.254.169.254/latest/meta-data",
    "http://169.254.169.254/",
    "file:///etc/passwd",
  ]) {
    const host = await serve(t, (_, response) => response.writeHead(302, { location }).end());
    await assert.rejects(
      client(t, { allowed: [host] }).fetch({ url: `http://${host}/`, ...LIMITS }),
      reasonIs("URL_REFUSED"),
      location,
    );
  }
});

test("credentials go to the host that they were given for and to no other, even on the way back", async (t) => {
  const seen: (string | undefined)[] = [];
  let first = "";
  const second = await serve(t, (request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(302, { location: `http://${first}/back` }).end();
  });
  first = await serve(t, (request, response) => {
    seen.push(request.headers.authorization);
    if (request.url === "/same") return void response.writeHead(307, { location: "/away" }).end();
    if (request.url === "/away") return void response.writeHead(302, { location: `http://${second}/` }).end();
    response.end("done");
  });
  const answer = await client(t, { allowed: [first, second] }).fetch({
    url: `http://${first}/same`,
    headers: { Authorization: "Bearer secret" },
    ...LIMITS,
  });
  assert.equal(answer.url, `http://${first}/back`);
  assert.deepEqual(seen, ["Bearer secret", "Bearer secret", undefined, undefined]);
});

test("a loop of redirects ends with a reason", async (t) => {
  let visits = 0;
  const host = await serve(t, (_, response) => {
    visits++;
    response.writeHead(302, { location: "/" }).end();
  });
  await assert.rejects(
    client(t, { allowed: [host] }).fetch({ url: `http://${host}/`, ...LIMITS }),
    reasonIs("URL_REFUSED"),
  );
  assert.equal(visits, 6);
});

test("a POST is not redirected unless asked", async (t) => {
  const host = await serve(t, (_, response) => response.writeHead(307, { location: "/other" }).end());
  const answer = await client(t, { allowed: [host] }).fetch({
    url: `http://${host}/`,
    method: "POST",
    body: "{}",
    ...LIMITS,
  });
  assert.equal(answer.status, 307);
});

test("a body over its bound is cut off", async (t) => {
  const host = await serve(t, (_, response) => response.end(Buffer.alloc(20_000)));
  const guarded = client(t, { allowed: [host] });
  await assert.rejects(guarded.fetch({ url: `http://${host}/`, ...LIMITS }), reasonIs("BODY_TOO_LARGE"));
  const stream = await guarded.stream({ url: `http://${host}/`, idleMs: 5_000, ...LIMITS });
  await assert.rejects(async () => {
    for await (const chunk of stream.body) assert.ok(chunk.byteLength > 0);
  }, reasonIs("BODY_TOO_LARGE"));
});

test("silence ends at the deadline, and a body that stalls at its idle limit", async (t) => {
  const host = await serve(t, (request, response) => {
    if (request.url === "/stalls") response.writeHead(200, { "content-length": 10 }).write("half");
  });
  const guarded = client(t, { allowed: [host] });
  await assert.rejects(
    guarded.fetch({ url: `http://${host}/silent`, deadlineMs: 50, bodyBytesMax: 10 }),
    reasonIs("DEADLINE"),
  );
  await assert.rejects(
    guarded.fetch({ url: `http://${host}/stalls`, deadlineMs: 50, bodyBytesMax: 10 }),
    reasonIs("DEADLINE"),
  );
  const stream = await guarded.stream({ url: `http://${host}/stalls`, idleMs: 50, ...LIMITS });
  await assert.rejects(async () => {
    for await (const chunk of stream.body) assert.equal(Buffer.from(chunk).toString(), "half");
  }, reasonIs("UNAVAILABLE"));
});

test("the caller's signal ends a call with the caller's reason", async (t) => {
  const host = await serve(t, () => {});
  const controller = new AbortController();
  const call = client(t, { allowed: [host] }).fetch({
    url: `http://${host}/`,
    signal: controller.signal,
    ...LIMITS,
  });
  controller.abort(new Error("gone"));
  await assert.rejects(call, /gone/);
});

test("a URL with a password, or one that is no URL, is refused without repeating it", async (t) => {
  for (const url of ["https://user:hunter2@example.com/", "no url hunter2"]) {
    await assert.rejects(client(t).fetch({ url, ...LIMITS }), (error) => {
      assert.ok(reasonIs("URL_REFUSED")(error));
      assert.doesNotMatch(String(error), /hunter2/);
      return true;
    });
  }
});

test("the operator's list takes hosts, hosts with ports and ranges, and refuses what is neither", async (t) => {
  const host = await serve(t, (_, response) => response.end("ok"));
  const bare = host.split(":")[0] ?? "";
  assert.equal(
    (await client(t, { allowed: [bare] }).fetch({ url: `http://${host}/`, ...LIMITS })).status,
    200,
  );
  await assert.rejects(
    client(t, { allowed: [`${bare}:1`] }).fetch({ url: `http://${host}/`, ...LIMITS }),
    reasonIs("URL_REFUSED"),
  );
  await assert.rejects(
    client(t, { allowed: ["127.0.0.0/8"] }).fetch({ url: `http://${host}/`, ...LIMITS }),
    reasonIs("URL_REFUSED"),
  );
  assert.throws(
    () => createGuardedClient({ allowed: ["10.0.0.0/99"], userAgent: "test" }),
    reasonIs("CONFIG_INVALID"),
  );
});

test("what can be said of a URL without resolving its name is said before anything is sent", (t) => {
  const guarded = client(t, { allowed: ["hooks.internal:8080", "10.1.0.0/16"] });
  const refused = [
    "http://example.com/",
    "https://127.0.0.1/",
    "https://[::ffff:10.0.0.1]/",
    "https://user:hunter2@example.com/",
    "http://hooks.internal/",
    "file:///etc/passwd",
    "no url",
  ];
  for (const url of refused) assert.throws(() => guarded.check(url), reasonIs("URL_REFUSED"), url);
  for (const url of ["https://example.com/a?b", "http://hooks.internal:8080/", "https://10.1.2.3/"]) {
    guarded.check(url);
  }
});
