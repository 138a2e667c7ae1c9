import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import {
  answerJson,
  chunk,
  faultReplica,
  STREAM_HEAD,
  wordEvent,
} from "../../test/support/gateway/fault-replica.ts";
import { BELOW, chat, oneModel, SERVED_NAME, until } from "../../test/support/gateway/gateway.ts";
import { ManualClock } from "../../test/support/gateway/manual-clock.ts";
import { rawPost } from "../../test/support/gateway/raw-client.ts";

async function codeOf(response: Promise<Response>): Promise<[number, string]> {
  const answer = await response;
  const { error } = (await answer.json()) as { error: { code: string } };
  return [answer.status, error.code];
}

test("a replica that does not begin to answer is given up after the first-byte deadline", async (t) => {
  const clock = new ManualClock();
  const on = await oneModel(t, { clock, limits: { firstByteMs: 5_000 } });
  on.replica.behave = () => {};
  const answer = codeOf(chat(on));
  await until(() => on.replica.asked.length === 1);
  await clock.advance(4_900);
  assert.equal(on.gateway.counts().active, 1);
  await clock.advance(200);
  assert.deepEqual(await answer, [504, "deadline"]);
  await until(() => on.replica.sockets.size === 0);
});

test("a replica that falls silent is given up after the idle deadline, and the client is told", async (t) => {
  const clock = new ManualClock();
  const on = await oneModel(t, { clock, limits: { idleMs: 5_000 } });
  on.replica.behave = (_asked, socket) => void socket.write(STREAM_HEAD + chunk(wordEvent("one")));
  const response = await chat(on, { stream: true, stream_options: { include_usage: true } });
  await clock.advance(5_200);
  const events = (await response.text()).split("\n\n");
  assert.equal(JSON.parse(events[1]?.slice(6) ?? "").error.code, "deadline");
});

test("an answer that goes on for ever ends with the total deadline", async (t) => {
  const clock = new ManualClock();
  const on = await oneModel(t, { clock, limits: { totalMs: 10_000 } });
  on.replica.behave = async (_asked, socket) => {
    socket.write(STREAM_HEAD);
    while (socket.writable) {
      socket.write(chunk(wordEvent("on")));
      await clock.sleep(1_000);
    }
  };
  const response = await chat(on, { stream: true });
  await until(() => on.replica.asked.length === 1);
  await clock.advance(11_000);
  assert.ok((await response.text()).includes('"deadline"'));
});

test("a replica whose connection does not open gives way within the connect deadline", async (t) => {
  const clock = new ManualClock();
  const on = await oneModel(t, { clock });
  // A listener that never accepts: its queue is filled until the kernel leaves new connections hanging.
  const { host, port, close } = await deafListener(t);
  const [route] = on.control.routes;
  assert.ok(route);
  on.control.routes = [{ ...route, replicas: [{ replicaId: "deaf", host, port, engineKey: "k" }] }];
  on.control.tell("");
  const answer = codeOf(chat(on));
  await until(() => on.gateway.counts().active === 1);
  await clock.advance(2_500);
  assert.deepEqual(await answer, [503, "model_not_ready"]);
  close();
});

test("a request that no engine saw costs nothing, however its client left", async (t) => {
  const clock = new ManualClock();
  const on = await oneModel(t, { clock, limits: { connectMs: 60_000 } });
  const { host, port } = await deafListener(t);
  const [route] = on.control.routes;
  assert.ok(route);
  on.control.routes = [{ ...route, replicas: [{ replicaId: "deaf", host, port, engineKey: "k" }] }];
  const stop = new AbortController();
  const answer = chat(on, { stream: true }, { signal: stop.signal });
  await until(() => on.gateway.counts().active === 1);
  stop.abort();
  await assert.rejects(answer);
  for (let i = 0; i < 2; i++) await (await fetch(`${on.url}/health`)).text();
  await clock.advance(1_200);
  await until(() => on.gateway.counts().finished === 1);
  await clock.advance(300);
  const [record] = await on.shipped(1);
  assert.deepEqual([record?.outcome, record?.promptTokens, record?.estimated], ["client_gone", 0, false]);
});

test("clients that do not read their answers don't turn a replica out", async (t) => {
  const clock = new ManualClock();
  const on = await oneModel(t, { clock, limits: { idleMs: 5_000, hangUpMs: 100 } });
  const other = await faultReplica(t);
  const [route] = on.control.routes;
  assert.ok(route);
  on.control.routes = [{ ...route, replicas: [on.replica.route, other.route] }];
  const flood = chunk(wordEvent("x".repeat(60_000)));
  let pours = 0;
  on.replica.behave = (_asked, socket) => {
    socket.write(STREAM_HEAD);
    const pour = () => {
      while (socket.writable && socket.write(flood)) pours++;
    };
    socket.on("drain", pour);
    pour();
  };
  const body = JSON.stringify({ model: SERVED_NAME, messages: [], stream: true });
  const sockets: Socket[] = [];
  while (on.replica.asked.length < 4) {
    const all = on.replica.asked.length + other.asked.length;
    const socket = connect({ host: "127.0.0.1", port: on.port }).on("error", () => {});
    socket.pause();
    socket.write(rawPost(`${BELOW}/v1/chat/completions`, body));
    sockets.push(socket);
    await until(() => on.replica.asked.length + other.asked.length > all);
    // What the load-aware choice would avoid is asked for by making the other one look as busy.
    if (other.asked.length > 0) other.behave = () => {};
  }
  for (let before = -1; before !== pours; ) {
    before = pours; // until all buffers on the way are full
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await clock.advance(5_500);
  for (const socket of sockets) socket.destroy();
  await clock.advance(500);
  for (const one of [on.replica, other]) one.behave = answerJson();
  const before = on.replica.asked.length;
  for (let i = 0; i < 6; i++) await (await chat(on)).text();
  assert.ok(on.replica.asked.length > before, "it still serves");
});

/** An address where connecting neither succeeds nor fails: a listener with a full queue. */
async function deafListener(t: { after(work: () => void): void }) {
  const { spawn } = await import("node:child_process");
  const child = spawn(process.execPath, ["-e", DEAF], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => void child.kill("SIGKILL"));
  const port = await new Promise<number>((resolve) =>
    child.stdout.once("data", (text) => resolve(Number(text))),
  );
  child.kill("SIGSTOP");
  const fillers = Array.from({ length: 8 }, () => connect({ host: "127.0.0.1", port }).on("error", () => {}));
  const close = () => {
    for (const socket of fillers) socket.destroy();
  };
  t.after(close);
  await new Promise((resolve) => setTimeout(resolve, 100));
  return { host: "127.0.0.1", port, close };
}

const DEAF = `const s = require("node:net").createServer(); s.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log(s.address().port));`;
