import assert from "node:assert/strict";
import { test } from "node:test";
import {
  chunk,
  DONE,
  LAST_CHUNK,
  STREAM_HEAD,
  usageEvent,
  wordEvent,
} from "../../test/support/gateway/fault-replica.ts";
import { BELOW, chat, oneModel, SERVED_NAME, until } from "../../test/support/gateway/gateway.ts";
import { BOB, BOB_KEY, CATALOGUE_NAME, offerOf } from "../../test/support/gateway/memory-control.ts";
import { rawClient, rawPost } from "../../test/support/gateway/raw-client.ts";

const STREAM = { stream: true, stream_options: { include_usage: true } };
const PRICED = { key: BOB_KEY, path: "/v1/chat/completions" };

async function streaming(t: Parameters<typeof oneModel>[0], limits = {}) {
  const on = await oneModel(t, { limits });
  let say = (_text: string) => {};
  on.replica.behave = (_asked, socket) => {
    socket.write(STREAM_HEAD + chunk(wordEvent("one")));
    say = (text) => void socket.write(text);
  };
  const finish = () => say(chunk(wordEvent("two")) + chunk(usageEvent()) + chunk(DONE) + LAST_CHUNK);
  return { ...on, finish };
}

test("a closing gateway takes no more, lets its streams finish, and ships their usage", async (t) => {
  const on = await streaming(t);
  const client = rawClient(on.port);
  client.socket.write(
    rawPost(`${BELOW}/v1/chat/completions`, JSON.stringify({ model: SERVED_NAME, messages: [], ...STREAM })),
  );
  await client.until((text) => text.includes('"one"'));
  const kept = rawClient(on.port);
  kept.socket.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
  await kept.until((text) => text.includes("ok"));
  const closing = on.gateway.close({ drainMs: 60_000 });
  await assert.rejects(fetch(`${on.url}/health`), "new connections are not taken");
  on.finish();
  await client.until((text) => text.endsWith(LAST_CHUNK));
  await closing;
  assert.equal(on.control.shipped.length, 1);
  assert.equal(on.control.shipped[0]?.outcome, "ok");
  await kept.closed;
});

test("a request on a connection that is still open is told to come again", async (t) => {
  const on = await streaming(t);
  const client = rawClient(on.port);
  const request = rawPost(
    `${BELOW}/v1/chat/completions`,
    JSON.stringify({ model: SERVED_NAME, messages: [], ...STREAM }),
  );
  client.socket.write(request);
  await client.until((text) => text.includes('"one"'));
  const closing = on.gateway.close({ drainMs: 60_000 });
  client.socket.write("GET /health HTTP/1.1\r\nhost: x\r\n\r\n"); // behind the stream, on its connection
  on.finish();
  const text = await client.closed;
  await closing;
  assert.ok(!text.includes('"status":"ok"'));
});

test("a stream that outlasts the drain is cut, metered and shipped", async (t) => {
  const on = await streaming(t, { hangUpMs: 50 });
  const response = await chat(on, STREAM);
  await on.gateway.close({ drainMs: 50 });
  await assert.rejects(response.text());
  const [record] = on.control.shipped;
  assert.deepEqual([record?.outcome, record?.estimated], ["client_gone", true]);
  assert.deepEqual(on.gateway.counts(), { admitted: 1, finished: 1, active: 0 });
});

test("closing gives back what no request spent", async (t) => {
  const on = await oneModel(t);
  on.control.offers = [offerOf()];
  on.control.balances.set(BOB, 1_000_000n);
  await (await chat(on, { model: CATALOGUE_NAME, max_tokens: 64 }, PRICED)).text();
  await on.gateway.close({ drainMs: 1_000 });
  // 20 of input, 8 of them cached at no price, and 5 of output at two nanos each.
  assert.equal(on.control.balances.get(BOB), 1_000_000n - 12n - 10n);
  assert.ok([...on.control.slices.values()].every((slice) => slice.closed));
});

test("what can't be shipped at the end stays on the disk, and closing ends all the same", async (t) => {
  const on = await oneModel(t);
  on.control.shippingFails = true;
  await (await chat(on)).text();
  await until(() => on.gateway.counts().finished === 1);
  const { readdir } = await import("node:fs/promises");
  const closing = on.gateway.close({ drainMs: 0 });
  await until(() => on.gateway.counts().active === 0);
  assert.ok((await readdir(on.usageLogDir)).some((name) => name.endsWith(".log")));
  on.control.shippingFails = false;
  await closing;
  assert.equal(on.control.shipped.length, 1);
});
