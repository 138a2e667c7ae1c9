import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { WatchModelEventsResponseSchema } from "../../../gen/slipway/model/v1/model_control_service_pb.js";
import { GetModelResponseSchema } from "../../../gen/tensormesh/model/v1/model_service_pb.js";
import { systemClock } from "../../../src/base/clock.ts";
import { StatusError } from "../../../src/base/status.ts";
import { HEADER_DELAY_MS, HEARTBEAT_MS } from "../../../src/rpc/sse.ts";
import { AUTHORIZED, type EdgeOptions, edge, manualClock } from "./fixture.ts";
import { SAMPLE_UUID, sample } from "./sample.ts";

type TestContext = Parameters<typeof edge>[0];

const WATCH = `/v1/models/${SAMPLE_UUID}/events:watch`;

async function listening(t: TestContext, options: EdgeOptions) {
  const it = edge(t, options);
  const { port } = await it.server.listen({ host: "127.0.0.1", port: 0 });
  return { ...it, url: `http://127.0.0.1:${port}` };
}

const event = (log: string) => create(WatchModelEventsResponseSchema, { event: { log } });

/** Resolves when the signal aborts. */
function over(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

test("a stream over REST is server-sent events of proto3 JSON, and ends when its source does", async (t) => {
  const { url } = await listening(t, {
    handlers: {
      async *stream() {
        yield event("one");
        yield sample(WatchModelEventsResponseSchema);
      },
    },
  });
  const response = await fetch(url + WATCH, { headers: AUTHORIZED });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-type"), "text/event-stream; charset=utf-8");
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.ok(response.headers.get("x-request-id"));
  const frames = (await response.text()).split("\n\n");
  assert.equal(frames.pop(), "");
  const [first, second] = frames.map((frame) => JSON.parse(frame.replace(/^data: /, "")));
  assert.deepEqual(first, {
    event: {
      createdAt: null,
      log: "one",
      eventType: "EVENT_TYPE_UNSPECIFIED",
      eventId: "0",
      status: "MODEL_STATUS_UNSPECIFIED",
      reason: "CONDITION_REASON_UNSPECIFIED",
    },
    model: null,
  });
  assert.equal(second.event.eventId, "9007199254740993");
});

test("a stream that is refused is an ordinary error", async (t) => {
  const { url } = await listening(t, {
    handlers: {
      // biome-ignore lint/correctness/useYield: it fails before it could
      async *stream() {
        throw new StatusError({
          code: "NOT_FOUND",
          reason: "MODEL_NOT_FOUND",
          message: "There is no such model.",
        });
      },
    },
  });
  const response = await fetch(url + WATCH, { headers: AUTHORIZED });
  assert.equal(response.status, 404);
  assert.match(await response.text(), /"reason":"MODEL_NOT_FOUND"/);
  const malformed = await fetch(`${url}/v1/models/x/events:watch`, { headers: AUTHORIZED });
  assert.equal(malformed.status, 400);
  assert.match(await malformed.text(), /UUID_MALFORMED/);
});

test("an error in the middle of a stream is its last event", async (t) => {
  const { url } = await listening(t, {
    handlers: {
      async *stream() {
        yield event("one");
        throw new Error("words of the cause");
      },
    },
  });
  const text = await (await fetch(url + WATCH, { headers: AUTHORIZED })).text();
  const last = text.trim().split("\n\n").at(-1) ?? "";
  assert.match(last, /^event: error\ndata: /);
  assert.equal(JSON.parse(last.replace("event: error\ndata: ", "")).code, 13);
  assert.doesNotMatch(text, /words of the cause/);
});

test("a silent stream opens and is kept alive by comments", async (t) => {
  const clock = manualClock();
  const { url } = await listening(t, {
    clock,
    handlers: {
      async *stream(_method, _request, context) {
        await over(context.signal);
        yield* [];
      },
    },
  });
  const opening = fetch(url + WATCH, { headers: AUTHORIZED });
  const sleeps = async (count: number) => {
    while (clock.sleepers < count) await systemClock.sleep(2);
  };
  // One sleeper is the stream's own bound; the other waits for the first message.
  await sleeps(2);
  clock.advance(HEADER_DELAY_MS);
  const response = await opening;
  assert.equal(response.status, 200);
  assert.ok(response.body);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  assert.deepEqual((await reader.read()).value, ": still here\n\n");
  await sleeps(2);
  clock.advance(HEARTBEAT_MS);
  assert.deepEqual((await reader.read()).value, ": still here\n\n");
  await reader.cancel();
});

test("a stream ends at its bound, so that its client comes again", async (t) => {
  const clock = manualClock();
  const { url } = await listening(t, {
    clock,
    limits: { streamMaxMs: 500 },
    handlers: {
      async *stream(_method, _request, context) {
        yield event("one");
        await over(context.signal);
      },
    },
  });
  const response = await fetch(url + WATCH, { headers: AUTHORIZED });
  clock.advance(500);
  assert.match(await response.text(), /^data: .*"one".*\n\n$/);
});

test("closing the server ends its streams, also those whose handler does not listen", async (t) => {
  const { url, server } = await listening(t, {
    handlers: {
      async *stream() {
        yield event("one");
        await new Promise(() => undefined);
      },
    },
  });
  const response = await fetch(url + WATCH, { headers: AUTHORIZED });
  const text = response.text();
  await server.close();
  assert.match(await text, /^data: .*"one".*\n\n$/);
});

test("a client that leaves a stream ends its handler", async (t) => {
  const left = Promise.withResolvers<void>();
  const { url } = await listening(t, {
    handlers: {
      async *stream(_method, _request, context) {
        yield event("one");
        await over(context.signal);
        left.resolve();
      },
    },
  });
  const controller = new AbortController();
  const response = await fetch(url + WATCH, { headers: AUTHORIZED, signal: controller.signal });
  await response.body?.getReader().read();
  controller.abort();
  await left.promise;
});

test("a client that leaves a unary call ends its handler, and a body that was read ends nothing", async (t) => {
  const started = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const { url, calls } = await listening(t, {
    handlers: {
      async unary(method, _request, context) {
        if (method.name === "DeployModel") {
          await systemClock.sleep(20);
          assert.equal(context.signal.aborted, false);
          return create(method.output);
        }
        started.resolve();
        await over(context.signal);
        left.resolve();
        throw context.signal.reason;
      },
    },
  });
  const posted = await fetch(`${url}/v1/models`, {
    method: "POST",
    headers: { ...AUTHORIZED, "content-type": "application/json" },
    body: JSON.stringify({ modelName: "chat", modelPath: "acme/tiny" }),
  });
  assert.equal(posted.status, 200);
  const leaving = httpRequest(`${url}/v1/models/${SAMPLE_UUID}`, { headers: AUTHORIZED });
  const closed = once(leaving, "error");
  leaving.end();
  await started.promise;
  leaving.destroy(new Error("left"));
  await Promise.all([left.promise, closed]);
  while (calls.length < 2) await systemClock.sleep(2);
  assert.deepEqual(
    calls.map(({ code }) => code),
    ["OK", "CANCELLED"],
  );
});

test("a unary call that takes too long is DEADLINE, and its handler is told", async (t) => {
  const clock = manualClock();
  const told = Promise.withResolvers<void>();
  const it = edge(t, {
    clock,
    limits: { callTimeoutMs: 1_000 },
    handlers: {
      async unary(_method, _request, context) {
        await over(context.signal);
        told.resolve();
        return create(GetModelResponseSchema);
      },
    },
  });
  const answer = it.server.app.inject({ url: `/v1/models/${SAMPLE_UUID}`, headers: AUTHORIZED });
  while (clock.sleepers < 1) await systemClock.sleep(2);
  clock.advance(1_000);
  await told.promise;
  const response = await answer;
  assert.equal(response.statusCode, 504);
  assert.equal(response.json().details[0].reason, "DEADLINE");
});
