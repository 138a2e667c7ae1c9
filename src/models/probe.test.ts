import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { type TestContext, test } from "node:test";
import {
  CERTIFICATE,
  OTHER_CERTIFICATE,
  OTHER_PRIVATE_KEY,
  PRIVATE_KEY,
  pinOf,
} from "../../test/support/gateway/certificate.ts";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { httpCompletionProbe } from "./probe.ts";

const ctx = { clock: systemClock, random: systemRandom, log: silentLog };

async function ask(t: TestContext, answer: RequestListener, timeoutMs = 5_000) {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const target = { address: { host: "127.0.0.1", port }, engineKey: "engine-key", servedName: "tiny" };
  const probe = httpCompletionProbe();
  t.after(() => probe.close());
  return probe.probe(ctx, target, timeoutMs);
}

const completion = JSON.stringify({ choices: [{ message: { role: "assistant", content: "a" } }] });

test("an engine that completes one token answers, asked with its own key and the served name", async (t) => {
  let seen = "";
  const outcome = await ask(t, (request, response) => {
    seen = `${request.method} ${request.url} ${request.headers.authorization} `;
    request.on("data", (chunk) => {
      seen += chunk;
    });
    request.on("end", () => response.end(completion));
  });
  assert.deepEqual(outcome, { ok: true });
  assert.match(seen, /^POST \/v1\/chat\/completions Bearer engine-key \{/);
  assert.match(seen, /"model":"tiny"/);
  assert.match(seen, /"max_tokens":1/);
});

test("an answer that is no completion is none, whatever its status", async (t) => {
  const health = await ask(t, (_request, response) => response.end('{"status":"ok"}'));
  assert.equal(health.ok, false);
  const empty = await ask(t, (_request, response) => response.end('{"choices":[]}'));
  assert.equal(empty.ok, false);
  const html = await ask(t, (_request, response) => response.end("<html>"));
  assert.equal(!html.ok && html.kind, "rejected");
});

test("an error is told in the engine's words", async (t) => {
  const outcome = await ask(t, (_request, response) =>
    response.writeHead(503).end('{"error":{"message":"the engine is draining"}}'),
  );
  assert.deepEqual(outcome, {
    ok: false,
    kind: "rejected",
    message: "it answers 503: the engine is draining",
  });
});

test("silence is a timeout, a broken connection a refusal", async (t) => {
  const silent = await ask(t, () => {}, 50);
  assert.equal(!silent.ok && silent.kind, "timeout");
  const broken = await ask(t, (request) => request.socket.destroy());
  assert.equal(!broken.ok && broken.kind, "refused");
});

test("a port that nobody listens on is refused", async () => {
  const target = { address: { host: "127.0.0.1", port: 1 }, engineKey: "k", servedName: "tiny" };
  const probe = httpCompletionProbe();
  const outcome = await probe.probe(ctx, target, 5_000);
  await probe.close();
  assert.deepEqual(outcome, { ok: false, kind: "refused", message: "ECONNREFUSED" });
});

test("an answer without an end is cut off", async (t) => {
  const outcome = await ask(t, (_request, response) => {
    const more = () => {
      if (!response.destroyed) response.write("x".repeat(10_000), () => setImmediate(more));
    };
    more();
  });
  assert.equal(outcome.ok, false);
});

test("a connection that the engine closed between two probes is no failure", async (t) => {
  let sockets = 0;
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.end(completion));
  }).listen(0, "127.0.0.1");
  server.on("connection", () => sockets++);
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const target = { address: { host: "127.0.0.1", port }, engineKey: "k", servedName: "tiny" };
  const probe = httpCompletionProbe();
  t.after(async () => {
    await probe.close();
    server.close();
  });
  assert.deepEqual(await probe.probe(ctx, target, 5_000), { ok: true });
  assert.deepEqual(await probe.probe(ctx, target, 5_000), { ok: true });
  assert.equal(sockets, 1);
  server.closeAllConnections();
  assert.deepEqual(await probe.probe(ctx, target, 5_000), { ok: true });
  assert.equal(sockets, 2);
});

async function tlsEngine(t: TestContext, options: ServerOptions, port = 0) {
  const counts = { sockets: 0, requests: 0 };
  const server = createTlsServer(options, (request, response) => {
    counts.requests++;
    request.resume().on("end", () => response.end(completion));
  }).listen(port, "127.0.0.1");
  server.on("secureConnection", () => counts.sockets++);
  await new Promise((resolve) => server.once("listening", resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  t.after(close);
  return { counts, close, port: portOf(server) };
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

function pinnedTo(port: number, certificate: string) {
  const address = { host: "127.0.0.1", port, certificateSha256: pinOf(certificate) };
  return { address, engineKey: "engine-key", servedName: "tiny" };
}

test("a pinned engine is asked in TLS over one kept connection, and only under its own certificate", async (t) => {
  const probe = httpCompletionProbe();
  t.after(() => probe.close());
  const engine = await tlsEngine(t, { cert: CERTIFICATE, key: PRIVATE_KEY });
  const target = pinnedTo(engine.port, CERTIFICATE);
  for (let i = 0; i < 3; i++) assert.deepEqual(await probe.probe(ctx, target, 5_000), { ok: true });
  assert.deepEqual(engine.counts, { sockets: 1, requests: 3 });
  const other = await probe.probe(ctx, pinnedTo(engine.port, OTHER_CERTIFICATE), 5_000);
  assert.ok(!other.ok && other.kind === "refused");
  assert.match(other.message, /not the one that the replica was started with/);
  assert.equal(engine.counts.requests, 3);
  assert.deepEqual(await probe.probe(ctx, target, 5_000), { ok: true });

  await engine.close();
  const swapped = await tlsEngine(t, { cert: OTHER_CERTIFICATE, key: OTHER_PRIVATE_KEY }, engine.port);
  const refused = await probe.probe(ctx, target, 5_000);
  assert.ok(!refused.ok && refused.kind === "refused");
  assert.match(refused.message, /not the one that the replica was started with/);
  assert.equal(swapped.counts.requests, 0);
});

test("plain text where TLS must be is told as such, and gets no request", async (t) => {
  let requests = 0;
  const server = createServer((_request, response) => {
    requests++;
    response.end(completion);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => server.close());
  const probe = httpCompletionProbe();
  t.after(() => probe.close());
  const outcome = await probe.probe(ctx, pinnedTo(portOf(server), CERTIFICATE), 5_000);
  assert.deepEqual(outcome, {
    ok: false,
    kind: "refused",
    message: "it speaks no TLS, which this replica must",
  });
  assert.equal(requests, 0);
});
