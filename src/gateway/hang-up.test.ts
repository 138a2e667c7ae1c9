import assert from "node:assert/strict";
import { test } from "node:test";
import {
  answerRaw,
  answerStream,
  chunk,
  completionJson,
  DONE,
  jsonAnswer,
  LAST_CHUNK,
  STREAM_HEAD,
  streamEvents,
  TOKENIZED,
  usageEvent,
  wordEvent,
} from "../../test/support/gateway/fault-replica.ts";
import {
  BELOW,
  chat,
  oneModel,
  SERVED_NAME,
  type TestGateway,
  until,
} from "../../test/support/gateway/gateway.ts";
import { ManualClock } from "../../test/support/gateway/manual-clock.ts";
import { type RawClient, rawClient, rawPost } from "../../test/support/gateway/raw-client.ts";

const PATH = `${BELOW}/v1/chat/completions`;
const RAW = { stream: true, stream_options: { include_usage: true } };
const SIFTED = { stream: true };
const bodyOf = (more: object) => JSON.stringify({ model: SERVED_NAME, messages: [], ...more });

/** A replica that says a word whenever it is told to, and hears when it is cut off. */
function talking(on: Awaited<ReturnType<typeof oneModel>>) {
  const state = { say: (_text: string) => {}, cut: false };
  on.replica.behave = (_asked, socket) => {
    socket.write(STREAM_HEAD + chunk(wordEvent("")));
    state.say = (text) => void socket.write(chunk(text));
    socket.on("close", () => {
      state.cut = true;
    });
  };
  return state;
}

/** Cuts the connection, and waits until the gateway must have heard of it: it has answered two who came after. */
async function hangUp(on: TestGateway, client: RawClient): Promise<void> {
  client.socket.resetAndDestroy();
  for (let i = 0; i < 2; i++) await (await fetch(`${on.url}/health`)).text();
}

for (const [how, more] of [
  ["as it is", RAW],
  ["without its usage frame", SIFTED],
] as const) {
  test(`after a hang-up a stream passed on ${how} is read to the engine's own usage`, async (t) => {
    const on = await oneModel(t);
    const replica = talking(on);
    const client = rawClient(on.port);
    client.socket.write(rawPost(PATH, bodyOf(more)));
    await client.until((text) => text.includes("content"));
    await hangUp(on, client);
    for (let i = 0; i < 5; i++) replica.say(wordEvent(`${i}`));
    replica.say(usageEvent());
    replica.say(DONE);
    [...on.replica.sockets][0]?.write(LAST_CHUNK);
    const [record] = await on.shipped(1);
    assert.deepEqual(
      [
        record?.outcome,
        record?.promptTokens,
        record?.cachedTokens,
        record?.completionTokens,
        record?.estimated,
      ],
      ["client_gone", 20, 8, 5, false],
    );
    assert.equal(replica.cut, false, "a connection that came to its end is kept");
    assert.deepEqual(on.gateway.counts(), { admitted: 1, finished: 1, active: 0 });
  });

  test(`after a hang-up a stream passed on ${how} is cut after 32 more tokens, and estimated`, async (t) => {
    const on = await oneModel(t, { limits: { hangUpMs: 60_000 } });
    const replica = talking(on);
    const client = rawClient(on.port);
    client.socket.write(rawPost(PATH, bodyOf(more)));
    await client.until((text) => text.includes("content"));
    for (let i = 0; i < 3; i++) replica.say(wordEvent(`${i}`));
    await client.until((text) => text.includes('"2"'));
    await hangUp(on, client);
    while (!replica.cut) {
      replica.say(wordEvent("more"));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const [record] = await on.shipped(1);
    assert.deepEqual(
      [record?.outcome, record?.promptTokens, record?.estimated],
      ["client_gone", TOKENIZED, true],
    );
    const words = record?.completionTokens ?? 0;
    assert.equal(words, 3 + 32);
    assert.deepEqual(on.gateway.counts(), { admitted: 1, finished: 1, active: 0 });
  });
}

test("after a hang-up a silent stream is cut when its time is over", async (t) => {
  const clock = new ManualClock();
  const on = await oneModel(t, { clock });
  const replica = talking(on);
  const client = rawClient(on.port);
  client.socket.write(rawPost(PATH, bodyOf(RAW)));
  await client.until((text) => text.includes("content"));
  await hangUp(on, client);
  await clock.advance(900);
  assert.equal(replica.cut, false);
  await clock.advance(300);
  await until(() => replica.cut);
  await clock.advance(100);
  const [record] = await on.shipped(1);
  assert.deepEqual([record?.completionTokens, record?.estimated], [0, true]);
});

test("after a hang-up a JSON answer that comes in time is metered by its usage", async (t) => {
  const on = await oneModel(t);
  let answer = () => {};
  on.replica.behave = (_asked, socket) => {
    answer = () => void socket.write(jsonAnswer(completionJson()));
  };
  const client = rawClient(on.port);
  client.socket.write(rawPost(PATH, bodyOf({})));
  await until(() => on.replica.asked.length === 1);
  await hangUp(on, client);
  answer();
  const [record] = await on.shipped(1);
  assert.deepEqual([record?.outcome, record?.completionTokens, record?.estimated], ["client_gone", 5, false]);
});

test("an engine that tells no usage is estimated for a client that stayed, too", async (t) => {
  const on = await oneModel(t);
  on.replica.behave = answerStream([wordEvent(""), wordEvent("a"), wordEvent("b"), DONE]);
  await (await chat(on, RAW)).text();
  const [record] = await on.shipped(1);
  assert.deepEqual(
    [record?.outcome, record?.promptTokens, record?.completionTokens, record?.estimated],
    ["ok", TOKENIZED, 2, true],
  );
});

test("a prompt is estimated by its length where the tokenizer fails", async (t) => {
  const on = await oneModel(t);
  on.replica.behave = answerStream([wordEvent(""), wordEvent("a"), DONE]);
  const fails = [
    answerRaw("", "reset"),
    answerRaw(jsonAnswer({ count: "many" })),
    answerRaw(jsonAnswer([], "500 No")),
  ];
  for (const [i, fail] of fails.entries()) {
    on.replica.tokenize = fail;
    await (await chat(on, { ...RAW, messages: [{ role: "user", content: "x".repeat(4_000) }] })).text();
    const record = (await on.shipped(i + 1))[i];
    assert.ok((record?.promptTokens ?? 0) >= 1_000 && (record?.promptTokens ?? 0) < 1_100);
    assert.equal(record?.estimated, true);
  }
});

test("clients that leave at any moment leave nothing behind: one record each, nothing active", async (t) => {
  const on = await oneModel(t, { limits: { hangUpMs: 100 } });
  on.replica.behave = async (asked, socket) => {
    if (asked.turn % 3 === 0) return; // never answers
    socket.write(STREAM_HEAD);
    for (const event of streamEvents(20)) {
      socket.write(chunk(event));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    socket.write(LAST_CHUNK);
  };
  const clients = Array.from({ length: 60 }, async (_, i) => {
    const client = rawClient(on.port);
    client.socket.write(rawPost(PATH, bodyOf(i % 2 ? RAW : SIFTED)));
    await new Promise((resolve) => setTimeout(resolve, (i * 7) % 50));
    if (i % 4 === 0) client.socket.destroy();
    else client.socket.resetAndDestroy();
  });
  await Promise.all(clients);
  await until(() => {
    const { admitted, finished, active } = on.gateway.counts();
    return admitted === finished && active === 0 && on.control.shipped.length === admitted;
  });
  const ids = new Set(on.control.shipped.map((record) => record.requestId));
  assert.equal(ids.size, on.control.shipped.length);
});
