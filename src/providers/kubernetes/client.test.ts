import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { liveCtx } from "../../../test/support/local-driver.ts";
import { StatusError } from "../../base/status.ts";
import { kubeClient } from "./client.ts";
import { credentialsOf } from "./credentials.ts";

/** A server that answers as told, and a client of it whose token is renewed with every call. */
async function clientOf(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  let calls = 0;
  const client = kubeClient("a", async () => ({
    server: `http://127.0.0.1:${port}`,
    ca: undefined,
    client: undefined,
    token: async () => `token-${++calls}`,
  }));
  t.after(async () => {
    await client.close();
    server.close();
  });
  return client;
}

test("a busy server is waited for as it asks, and a short failure is tried again with a fresh token", async (t) => {
  const tokens: (string | undefined)[] = [];
  const client = await clientOf(t, (request, response) => {
    tokens.push(request.headers.authorization);
    if (tokens.length === 1) return response.writeHead(429, { "retry-after": "0" }).end("{}");
    if (tokens.length === 2) return response.writeHead(503).end();
    return response.end('{"ok":true}');
  });
  assert.deepEqual(await client.ask(liveCtx, "/api"), { ok: true });
  assert.deepEqual(tokens, ["Bearer token-1", "Bearer token-2", "Bearer token-3"]);
});

test("definite refusals are told at once, with the way out, and keep no token", async (t) => {
  let status = 0;
  let calls = 0;
  const client = await clientOf(t, (_, response) => {
    calls++;
    response.writeHead(status).end(JSON.stringify({ message: "secrets is forbidden" }));
  });
  for (const [code, kind, words] of [
    [401, "UNAUTHENTICATED", /refuses our credentials/],
    [403, "PERMISSION_DENIED", /slipway kubernetes rbac.*secrets is forbidden/],
    [404, "NOT_FOUND", /does not have it/],
    [409, "ABORTED", /newer state/],
    [422, "FAILED_PRECONDITION", /refuses the replica/],
  ] as const) {
    status = code;
    await assert.rejects(client.ask(liveCtx, "/api"), (error) => {
      assert.ok(error instanceof StatusError);
      return error.code === kind && words.test(error.message) && !error.message.includes("token-");
    });
  }
  assert.equal(calls, 5);
});

test("a cluster that can't be reached is unavailable, which leaves the outcome open", async (t) => {
  const client = kubeClient("a", async () => ({
    server: "http://127.0.0.1:1",
    ca: undefined,
    client: undefined,
    token: async () => "",
  }));
  t.after(() => client.close());
  await assert.rejects(client.ask(liveCtx, "/api"), /region a can't be reached \(ECONNREFUSED\)/);
});

test("a kubeconfig is read with its files; what would weaken or run something is refused by field", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "slipway-kubeconfig-"));
  t.after(() => rm(dir, { recursive: true }));
  const write = async (user: string, cluster = "") => {
    const file = join(dir, "config");
    const text = `current-context: c
contexts: [{ name: c, context: { cluster: k, user: u } }]
clusters: [{ name: k, cluster: { server: "https://k.example.com:6443/", certificate-authority: ca.pem${cluster} } }]
users: [{ name: u, user: { ${user} } }]
`;
    await writeFile(file, text);
    return { kubeconfig: file };
  };
  await writeFile(join(dir, "ca.pem"), "authority");
  await writeFile(join(dir, "token"), "from-file\n");
  const found = await credentialsOf(await write("tokenFile: token"));
  assert.equal(found.server, "https://k.example.com:6443");
  assert.equal(found.ca, "authority");
  assert.equal(await found.token(liveCtx), "from-file");
  await assert.rejects(credentialsOf(await write("exec: { command: aws }")), /another program.*not run/);
  await assert.rejects(
    credentialsOf(await write("token: x", ", insecure-skip-tls-verify: true")),
    /anybody be the cluster/,
  );
  await assert.rejects(
    credentialsOf({ ...(await write("token: x")), context: "d" }),
    /no context d. It has c/,
  );
  await assert.rejects(
    credentialsOf({ kubeconfig: join(dir, "none") }),
    /kubernetes.kubeconfig: a file can't be read/,
  );
  await assert.rejects(credentialsOf({}, {}), /runs in no cluster/);
});
