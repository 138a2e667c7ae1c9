import assert from "node:assert/strict";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import {
  CERTIFICATE,
  OTHER_CERTIFICATE,
  OTHER_PRIVATE_KEY,
  PRIVATE_KEY,
  pinOf,
} from "../../test/support/gateway/certificate.ts";
import {
  answerStream,
  chunk,
  faultReplica,
  STREAM_HEAD,
  streamEvents,
  wordEvent,
} from "../../test/support/gateway/fault-replica.ts";
import { chat, testGateway, until } from "../../test/support/gateway/gateway.ts";
import { MemoryControl, routeOf } from "../../test/support/gateway/memory-control.ts";
import type { RouteReplica } from "./index.ts";

const OURS = { cert: CERTIFICATE, key: PRIVATE_KEY };
const STREAM = { stream: true, stream_options: { include_usage: true } };

async function gatewayTo(t: TestContext, ...replicas: RouteReplica[]) {
  const control = new MemoryControl();
  control.routes = [routeOf(replicas)];
  return testGateway(t, { control });
}

test("a pinned replica is spoken to in TLS on kept connections, whole answers and streams alike", async (t) => {
  const replica = await faultReplica(t, 0, OURS);
  const on = await gatewayTo(t, replica.route);
  for (let i = 0; i < 2; i++) assert.equal((await chat(on)).status, 200);
  const events = streamEvents(300);
  replica.behave = answerStream(events);
  assert.equal(await (await chat(on, STREAM)).text(), events.join(""));
  assert.deepEqual(
    replica.asked.map((one) => [one.connection, one.turn]),
    [1, 2, 3].map((turn) => [1, turn]),
  );
  const records = await on.shipped(3);
  assert.ok(records.every((record) => record.outcome === "ok" && record.promptTokens === 20));
});

test("a client that hangs up ends its stream at a pinned replica too", async (t) => {
  const replica = await faultReplica(t, 0, OURS);
  const on = await gatewayTo(t, replica.route);
  let closed = false;
  replica.behave = (_asked, socket) => {
    socket.write(STREAM_HEAD + chunk(wordEvent("one")));
    const more = setInterval(() => socket.write(chunk(wordEvent("more"))), 5);
    socket.on("close", () => {
      clearInterval(more);
      closed = true;
    });
  };
  const hangUp = new AbortController();
  const answer = await chat(on, STREAM, { signal: hangUp.signal });
  await answer.body?.getReader().read();
  hangUp.abort();
  await until(() => closed);
  const [record] = await on.shipped(1);
  assert.equal(record?.outcome, "client_gone");
});

test("a certificate that was swapped gets not a byte, and the request goes to who can be trusted", async (t) => {
  const swapped = await faultReplica(t, 0, { cert: OTHER_CERTIFICATE, key: OTHER_PRIVATE_KEY });
  const route = { ...swapped.route, certificateSha256: pinOf(CERTIFICATE) };
  const alone = await gatewayTo(t, route);
  assert.equal((await chat(alone)).status, 503);
  const good = await faultReplica(t, 0, OURS);
  const both = await gatewayTo(t, route, good.route);
  for (let i = 0; i < 3; i++) assert.equal((await chat(both)).status, 200);
  assert.equal(swapped.asked.length, 0);
});

test("a pin is never answered for in plain text", async (t) => {
  const heard: Buffer[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (piece) => {
      heard.push(piece);
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const route = { replicaId: "plain", host: "127.0.0.1", port, engineKey: "engine-secret" };
  const on = await gatewayTo(t, { ...route, certificateSha256: pinOf(CERTIFICATE) });
  assert.equal((await chat(on)).status, 503);
  assert.ok(heard.length > 0);
  assert.doesNotMatch(Buffer.concat(heard).toString("latin1"), /POST|engine-secret/);
});
