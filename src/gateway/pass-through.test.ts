import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import {
  answerJson,
  answerRaw,
  answerStream,
  chunk,
  completionJson,
  DONE,
  type FaultReplica,
  jsonAnswer,
  LAST_CHUNK,
  STREAM_HEAD,
  streamEvents,
  usageEvent,
  usageJson,
  wordEvent,
} from "../../test/support/gateway/fault-replica.ts";
import { BELOW, chat, oneModel, SERVED_NAME, until } from "../../test/support/gateway/gateway.ts";
import { bodyOf, rawClient, rawPost } from "../../test/support/gateway/raw-client.ts";

const PATH = `${BELOW}/v1/chat/completions`;
const ask = (more: object) =>
  JSON.stringify({ model: SERVED_NAME, messages: [{ role: "user", content: "hi" }], stream: true, ...more });
const WITH_USAGE = { stream_options: { include_usage: true } };

/** Writes the answer in the given pieces, each in its own packet as far as the kernel allows. */
function answerInPieces(pieces: readonly string[]): FaultReplica["behave"] {
  return async (_asked, socket) => {
    for (const piece of pieces) {
      socket.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
}

function cutAt(text: string, places: readonly number[]): string[] {
  const sorted = [...new Set(places.map((place) => place % text.length))].sort((one, other) => one - other);
  return [0, ...sorted].map((from, i) => text.slice(from, sorted[i])).filter((piece) => piece !== "");
}

test("a JSON answer passes byte for byte, in any framing of the replica's", async (t) => {
  const on = await oneModel(t);
  const odd = ` {"id" : "x",\n"choices":[{"message":{"content":"\\u00e9 é 漢字 🙂"}}], "usage":${JSON.stringify(usageJson({ prompt: 3, completion: 4 }))} }\n`;
  for (const answer of [
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(odd)}\r\n\r\n${odd}`,
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${chunk(odd)}${LAST_CHUNK}`,
  ]) {
    on.replica.behave = answerRaw(answer);
    const response = await chat(on);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.equal(await response.text(), odd);
  }
});

test("a long answer and an answer without a body pass", async (t) => {
  const on = await oneModel(t);
  const long = { ...completionJson(), text: "é".repeat(300_000) };
  on.replica.behave = answerRaw(jsonAnswer(long));
  assert.deepEqual(await (await chat(on)).json(), long);
  on.replica.behave = answerRaw("HTTP/1.1 204 No Content\r\n\r\n");
  assert.equal((await chat(on)).status, 204);
});

test("a stream whose client asked for usage passes in the replica's own chunks, however they are cut", async (t) => {
  const on = await oneModel(t);
  const body = streamEvents(6).map(chunk).join("") + LAST_CHUNK;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(), { maxLength: 12 }), async (places) => {
      on.replica.behave = answerInPieces([STREAM_HEAD, ...cutAt(body, places)]);
      const client = rawClient(on.port);
      client.socket.write(rawPost(PATH, ask(WITH_USAGE)));
      const answer = await client.until((text) => text.endsWith(LAST_CHUNK));
      client.socket.destroy();
      assert.equal(bodyOf(answer), body);
    }),
    { numRuns: 40 },
  );
});

test("a stream whose client did not ask for usage loses the usage frame alone, however it is cut", async (t) => {
  const on = await oneModel(t);
  const events = [...streamEvents(6)];
  const body = events.map(chunk).join("") + LAST_CHUNK;
  const wanted = events.filter((event) => !event.includes('"usage"')).join("");
  let asked = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(), { maxLength: 12 }), async (places) => {
      on.replica.behave = answerInPieces([STREAM_HEAD, ...cutAt(body, places)]);
      const response = await chat(on, { stream: true });
      assert.equal(await response.text(), wanted);
      asked++;
    }),
    { numRuns: 40 },
  );
  const shipped = await on.shipped(asked);
  assert.ok(shipped.every((record) => record.completionTokens === 5 && !record.estimated));
});

test("usage is asked of the engine for every stream, and for nothing else the body changes", async (t) => {
  const on = await oneModel(t);
  on.replica.behave = answerStream(streamEvents(2));
  const bodies = [
    [ask({ stream_options: { include_usage: false, other: 1 } }), { include_usage: true, other: 1 }],
    [ask({}), { include_usage: true }],
    [ask(WITH_USAGE), { include_usage: true }],
  ] as const;
  for (const [body, options] of bodies) {
    await (await chat(on, JSON.parse(body))).text();
    const sent = JSON.parse(on.replica.asked.at(-1)?.body.toString() ?? "");
    assert.deepEqual(sent.stream_options, options);
    assert.deepEqual({ ...sent, stream_options: 0 }, { ...JSON.parse(body), stream_options: 0 });
  }
  on.replica.behave = answerJson();
  const plain = JSON.stringify({ model: SERVED_NAME, messages: [], seed: 12345678901234567890n.toString() });
  await (await chat(on, JSON.parse(plain))).text();
  assert.deepEqual(JSON.parse(on.replica.asked.at(-1)?.body.toString() ?? ""), JSON.parse(plain));
});

test("words that look like the end marker or like usage hold nothing back", async (t) => {
  const on = await oneModel(t);
  const words = wordEvent('data: [DONE]\n\n"usage":{"prompt_tokens":1,"completion_tokens":1}');
  for (const more of [WITH_USAGE, {}]) {
    let finish = () => {};
    on.replica.behave = (_asked, socket) => {
      socket.write(STREAM_HEAD + chunk(words) + chunk(wordEvent("after")));
      finish = () => void socket.write(chunk(usageEvent()) + chunk(DONE) + LAST_CHUNK);
    };
    const client = rawClient(on.port);
    client.socket.write(rawPost(PATH, ask(more)));
    await client.until((text) => text.includes("after")); // the replica has not finished yet
    finish();
    await client.until((text) => text.endsWith(LAST_CHUNK));
    client.socket.destroy();
  }
  const shipped = await on.shipped(2);
  assert.deepEqual(
    shipped.map((record) => record.completionTokens),
    [5, 5],
  );
});

test("usage told with every word delays none of them, and the last one counts", async (t) => {
  const on = await oneModel(t);
  const told = (completion: number) => ({ usage: usageJson({ prompt: 9, completion }) });
  for (const more of [{ stream_options: { continuous_usage_stats: true } }, WITH_USAGE]) {
    let finish = () => {};
    on.replica.behave = (_asked, socket) => {
      socket.write(STREAM_HEAD + chunk(wordEvent("first", told(1))) + chunk(wordEvent("second", told(2))));
      finish = () =>
        void socket.write(chunk(usageEvent({ prompt: 9, completion: 3 })) + chunk(DONE) + LAST_CHUNK);
    };
    const client = rawClient(on.port);
    client.socket.write(rawPost(PATH, ask(more)));
    await client.until((text) => text.includes("second"));
    finish();
    await client.until((text) => text.endsWith(LAST_CHUNK));
    client.socket.destroy();
  }
  const shipped = await on.shipped(2);
  assert.deepEqual(
    shipped.map((record) => record.completionTokens),
    [3, 3],
  );
});

test("an HTTP/1.0 client gets the same events, ended by the connection", async (t) => {
  const on = await oneModel(t);
  on.replica.behave = answerStream(streamEvents(3));
  const client = rawClient(on.port);
  client.socket.write(rawPost(PATH, ask(WITH_USAGE), { version: "1.0" }));
  const answer = await client.closed;
  assert.equal(bodyOf(answer), streamEvents(3).join(""));
});

test("the head goes out together with the first event, and events are not gathered", async (t) => {
  const on = await oneModel(t);
  let write = (_text: string) => {};
  on.replica.behave = (_asked, socket) => {
    write = (text) => void socket.write(text);
  };
  const client = rawClient(on.port);
  const packets: string[] = [];
  client.socket.on("data", (packet) => packets.push(packet.toString("latin1")));
  client.socket.write(rawPost(PATH, ask(WITH_USAGE)));
  await until(() => on.replica.asked.length === 1);
  write(STREAM_HEAD);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(packets.length, 0, "a head alone is not sent");
  write(chunk(wordEvent("one")));
  await client.until((text) => text.includes("one"));
  assert.equal(packets.length, 1);
  write(chunk(wordEvent("two")));
  await client.until((text) => text.includes("two"));
  write(chunk(usageEvent()) + chunk(DONE) + LAST_CHUNK);
  await client.until((text) => text.endsWith(LAST_CHUNK));
  client.socket.destroy();
});

/** Together far more than the kernel's buffers on both ways hold. */
const SLOW_EVENTS = 1_600;

test("a slow client slows its replica down and still gets every byte", async (t) => {
  const on = await oneModel(t);
  const events = Array.from({ length: SLOW_EVENTS }, (_, i) => wordEvent(`${i} ${"x".repeat(50_000)}`));
  const body = [...events, usageEvent(), DONE].map(chunk).join("") + LAST_CHUNK;
  let sent = 0;
  on.replica.behave = async (_asked, socket) => {
    socket.write(STREAM_HEAD);
    for (const event of [...events, usageEvent(), DONE]) {
      sent++;
      if (!socket.write(chunk(event))) await new Promise((resolve) => socket.once("drain", resolve));
    }
    socket.write(LAST_CHUNK);
  };
  const socket = connect({ port: on.port, host: "127.0.0.1" });
  socket.pause();
  socket.write(rawPost(PATH, ask(WITH_USAGE)));
  let before = -1;
  while (sent !== before || sent === 0) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.ok(sent < SLOW_EVENTS, `the replica was held back after ${sent} events`);
  let bytes = 0;
  let end = "";
  socket.on("data", (piece) => {
    bytes += piece.length;
    end = (end + piece.toString("latin1", Math.max(0, piece.length - 64))).slice(-64);
  });
  socket.resume();
  await until(() => end.endsWith(LAST_CHUNK));
  socket.destroy();
  assert.ok(bytes > body.length && bytes < body.length + 1_000, "all of the stream and its head");
});

test("a responses stream and an answer of several surfaces are metered and pass unchanged", async (t) => {
  const on = await oneModel(t);
  const completed = `event: response.completed\ndata: ${JSON.stringify({
    type: "response.completed",
    response: {
      tools: [{ parameters: { usage: { input_tokens: 0, output_tokens: 0 } } }],
      usage: { input_tokens: 7, output_tokens: 3, total_tokens: 10 },
      metadata: {},
    },
  })}\n\n`;
  const events = [`event: response.created\ndata: {"type":"response.created"}\n\n`, completed];
  on.replica.behave = answerStream(events);
  const stream = await chat(on, { input: "hi", stream: true }, { path: `${BELOW}/v1/responses` });
  assert.equal(await stream.text(), events.join(""));

  const whole = {
    usage: { input_tokens: 8, output_tokens: 4, total_tokens: 12 },
    tools: [{ parameters: { properties: {}, usage: { input_tokens: 0, output_tokens: 0 } } }],
  };
  on.replica.behave = answerRaw(jsonAnswer(whole));
  const answer = await chat(on, { input: "hi" }, { path: `${BELOW}/v1/responses` });
  assert.deepEqual(await answer.json(), whole);

  on.replica.behave = answerRaw(jsonAnswer({ data: [], usage: { prompt_tokens: 6, total_tokens: 6 } }));
  await (await chat(on, { input: "hi" }, { path: `${BELOW}/v1/embeddings` })).text();
  const shipped = await on.shipped(3);
  assert.deepEqual(
    shipped.map((record) => [record.promptTokens, record.completionTokens, record.estimated]),
    [
      [7, 3, false],
      [8, 4, false],
      [6, 0, false],
    ],
  );
});
