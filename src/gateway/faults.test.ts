import assert from "node:assert/strict";
import { test } from "node:test";
import {
  answerJson,
  answerRaw,
  chunk,
  completionJson,
  type FaultReplica,
  faultReplica,
  HEAD_OF_JSON,
  jsonAnswer,
  LAST_CHUNK,
  STREAM_HEAD,
  usageEvent,
  wordEvent,
} from "../../test/support/gateway/fault-replica.ts";
import {
  BELOW,
  chat,
  oneModel,
  SERVED_NAME,
  type TestGateway,
  testGateway,
  until,
} from "../../test/support/gateway/gateway.ts";
import { MemoryControl, routeOf } from "../../test/support/gateway/memory-control.ts";
import { bodyOf, rawClient, rawPost } from "../../test/support/gateway/raw-client.ts";

const STREAM = { stream: true, stream_options: { include_usage: true } };

async function codeOf(response: Response): Promise<[number, string]> {
  const { error } = (await response.json()) as { error: { code: string } };
  return [response.status, error.code];
}

async function twoReplicas(t: Parameters<typeof faultReplica>[0]) {
  const control = new MemoryControl();
  const replicas: [FaultReplica, FaultReplica] = [await faultReplica(t), await faultReplica(t)];
  control.routes = [routeOf(replicas.map((one) => one.route))];
  return { ...(await testGateway(t, { control })), replicas };
}

const asksOf = (replicas: readonly FaultReplica[]) => replicas.map((one) => one.asked.length);

/** At rest everything that was let in has ended, once. */
async function assertAtRest(on: TestGateway, ended: number): Promise<void> {
  const shipped = await on.shipped(ended);
  assert.equal(shipped.length, ended);
  assert.deepEqual(on.gateway.counts(), { admitted: ended, finished: ended, active: 0 });
}

const BAD_ANSWERS: Readonly<Record<string, string>> = {
  "content-length and transfer-encoding": `${HEAD_OF_JSON}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
  "two lengths": `${HEAD_OF_JSON}content-length: 5\r\ncontent-length: 6\r\n\r\nhello!`,
  "a length with a sign": `${HEAD_OF_JSON}content-length: +5\r\n\r\nhello`,
  "an unknown transfer-encoding": `${HEAD_OF_JSON}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  "no framing": `${HEAD_OF_JSON}\r\nhello`,
  "a header without a colon": "HTTP/1.1 200 OK\r\nbroken\r\n\r\n",
  "no HTTP": "SSH-2.0-OpenSSH_9.2\r\n\r\n",
  "an interim answer": "HTTP/1.1 103 Early Hints\r\n\r\n",
  "a chunk size that is no number": `${HEAD_OF_JSON}transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n`,
  "a negative chunk size": `${HEAD_OF_JSON}transfer-encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n`,
  "a chunk longer than it says": `${HEAD_OF_JSON}transfer-encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n`,
  "a chunk size of 20 digits": `${HEAD_OF_JSON}transfer-encoding: chunked\r\n\r\n00000000000000000005\r\nhello\r\n0\r\n\r\n`,
  trailers: `${HEAD_OF_JSON}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n`,
  "a head without an end": `HTTP/1.1 200 OK\r\nx: ${"y".repeat(20_000)}`,
};

for (const [what, answer] of Object.entries(BAD_ANSWERS)) {
  test(`an answer with ${what} is refused, and its connection is not used again`, async (t) => {
    const on = await oneModel(t);
    on.replica.behave = answerRaw(answer);
    assert.deepEqual(await codeOf(await chat(on)), [502, "engine_failed"]);
    on.replica.behave = answerJson();
    assert.equal((await chat(on)).status, 200);
    assert.deepEqual(
      on.replica.asked.map((one) => one.connection),
      [1, 2],
    );
    await assertAtRest(on, 2);
  });
}

test("bytes behind an answer close the connection; the answer itself is good", async (t) => {
  const on = await oneModel(t);
  on.replica.behave = answerRaw(`${jsonAnswer(completionJson())}HTTP/1.1 200 OK\r\n`);
  assert.equal((await chat(on)).status, 200);
  on.replica.behave = answerRaw(`${STREAM_HEAD}${chunk(usageEvent())}${LAST_CHUNK}surplus`);
  assert.equal((await chat(on, STREAM)).status, 200);
  on.replica.behave = answerJson();
  assert.equal((await chat(on)).status, 200);
  assert.deepEqual(
    on.replica.asked.map((one) => one.connection),
    [1, 2, 3],
  );
});

test("bytes that nobody asked for close an idle connection", async (t) => {
  const on = await oneModel(t);
  on.replica.behave = (_asked, socket) => {
    socket.write(jsonAnswer(completionJson()));
    setTimeout(() => socket.write(jsonAnswer(completionJson({ prompt: 1, completion: 1 }))), 20);
  };
  assert.equal((await chat(on)).status, 200);
  await until(() => on.replica.sockets.size === 0);
  on.replica.behave = answerJson();
  assert.equal((await chat(on)).status, 200);
});

test("good connections are kept and reused; one that says close is not", async (t) => {
  const on = await oneModel(t);
  for (let i = 0; i < 3; i++) await (await chat(on)).text();
  on.replica.behave = answerRaw(jsonAnswer(completionJson(), "200 OK", "connection: close\r\n"));
  await (await chat(on)).text();
  on.replica.behave = answerJson();
  await (await chat(on)).text();
  assert.deepEqual(
    on.replica.asked.map(({ connection, turn }) => [connection, turn]),
    [
      [1, 1],
      [1, 2],
      [1, 3],
      [1, 4],
      [2, 1],
    ],
  );
});

test("a reused connection that dies before any byte is replaced unseen, once", async (t) => {
  const on = await oneModel(t);
  await (await chat(on)).text();
  let deaths = 0;
  on.replica.behave = (asked, socket) => {
    if (asked.turn === 1) return void answerJson()(asked, socket);
    deaths++;
    socket.destroy();
  };
  assert.equal((await chat(on)).status, 200);
  assert.equal(deaths, 1);
  on.replica.behave = (_asked, socket) => void socket.destroy();
  assert.deepEqual(await codeOf(await chat(on)), [502, "engine_failed"]);
  assert.equal(on.replica.asked.length, 5, "the reused one and its one replacement");
  await assertAtRest(on, 3);
});

test("a request that an engine may have seen is not sent to another", async (t) => {
  const on = await twoReplicas(t);
  for (const one of on.replicas) one.behave = (_asked, socket) => void socket.destroy();
  assert.deepEqual(await codeOf(await chat(on)), [502, "engine_failed"]);
  assert.equal(asksOf(on.replicas)[0] === 1 ? asksOf(on.replicas)[1] : asksOf(on.replicas)[0], 0);
  await assertAtRest(on, 1);
});

test("a replica that can't be reached or is leaving gives way to another", async (t) => {
  const on = await twoReplicas(t);
  const [first, second] = on.replicas;
  first.close();
  for (let i = 0; i < 4; i++) assert.equal((await chat(on)).status, 200);
  assert.equal(second.asked.length, 4);

  const again = await twoReplicas(t);
  for (const one of again.replicas)
    one.behave = answerRaw(jsonAnswer({ error: {} }, "503 Service Unavailable", "retry-after: 1\r\n"));
  const response = await chat(again);
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("retry-after"), "1");
  assert.deepEqual(asksOf(again.replicas), [1, 1]);
  await assertAtRest(again, 1);
});

test("with no replica to be reached the answer is 503 with Retry-After", async (t) => {
  const on = await twoReplicas(t);
  for (const one of on.replicas) one.close();
  const response = await chat(on);
  assert.equal(response.headers.get("retry-after"), "1");
  assert.deepEqual(await codeOf(response), [503, "model_not_ready"]);
  await assertAtRest(on, 1);
});

test("a replica that fails again and again is left alone while another serves", async (t) => {
  const on = await twoReplicas(t);
  const [first, second] = on.replicas;
  first.behave = answerRaw(jsonAnswer({ error: { message: "no" } }, "500 Internal Server Error"));
  for (let i = 0; i < 20; i++) await (await chat(on)).text();
  assert.equal(first.asked.length, 3);
  assert.equal(second.asked.length, 17);
});

test("an engine's own refusals and failures pass to the client and cost nothing", async (t) => {
  const on = await oneModel(t);
  for (const [status, outcome] of [
    ["400 Bad Request", "rejected"],
    ["422 Unprocessable Entity", "rejected"],
    ["500 Internal Server Error", "upstream_error"],
  ] as const) {
    on.replica.behave = answerRaw(jsonAnswer({ error: { message: status } }, status));
    const response = await chat(on, STREAM);
    assert.equal(`${response.status}`, status.slice(0, 3));
    assert.deepEqual(await response.json(), { error: { message: status } });
    await until(() => on.control.shipped.some((record) => record.outcome === outcome));
  }
  assert.ok(on.control.shipped.every((record) => record.promptTokens + record.completionTokens === 0));
});

test("a key that the engine refuses is our failure, not the client's", async (t) => {
  const on = await oneModel(t);
  on.replica.behave = answerRaw(jsonAnswer({ error: {} }, "401 Unauthorized"));
  assert.deepEqual(await codeOf(await chat(on)), [502, "engine_failed"]);
});

test("a stream that breaks between two events ends with one error event", async (t) => {
  const on = await oneModel(t);
  for (const more of [STREAM, { stream: true }]) {
    on.replica.behave = answerRaw(STREAM_HEAD + chunk(wordEvent("one")), "end");
    const text = await (await chat(on, more)).text();
    const [word = "", error = "", rest] = text.split("\n\n");
    assert.equal(`${word}\n\n`, wordEvent("one"));
    assert.equal(JSON.parse(error.slice("data: ".length)).error.code, "engine_failed");
    assert.equal(rest, "");
  }
  await assertAtRest(on, 2);
  assert.ok(on.control.shipped.every((record) => record.outcome === "upstream_error"));
});

test("a raw stream that breaks within an event is cut, since there is no place for a word of ours", async (t) => {
  const on = await oneModel(t);
  on.replica.behave = answerRaw(STREAM_HEAD + chunk(wordEvent("one")).slice(0, -9), "end");
  const client = rawClient(on.port);
  const body = JSON.stringify({ model: SERVED_NAME, messages: [], ...STREAM });
  client.socket.write(rawPost(`${BELOW}/v1/chat/completions`, body));
  const answer = await client.closed;
  assert.ok(!bodyOf(answer).includes("error"));
  assert.ok(!answer.endsWith(LAST_CHUNK));
  await assertAtRest(on, 1);
});

test("a JSON answer that breaks off is no answer, and costs nothing", async (t) => {
  const on = await oneModel(t);
  on.replica.behave = answerRaw(jsonAnswer(completionJson()).slice(0, -1), "end");
  assert.deepEqual(await codeOf(await chat(on)), [502, "engine_failed"]);
  const [record] = await on.shipped(1);
  assert.equal(record?.promptTokens, 0);
  assert.equal(record?.outcome, "upstream_error");
});
