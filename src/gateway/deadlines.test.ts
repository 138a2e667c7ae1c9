import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { chunk, STREAM_HEAD, wordEvent } from "../../test/support/gateway/fault-replica.ts";
import { chat, oneModel, until } from "../../test/support/gateway/gateway.ts";
import { ManualClock } from "../../test/support/gateway/manual-clock.ts";

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
