import assert from "node:assert/strict";
import { test } from "node:test";
import { ModelControlService } from "../../gen/slipway/model/v1/model_control_service_pb.js";
import { EventType, ModelStatus } from "../../gen/tensormesh/model/v1/model_pb.js";
import { StatusError } from "../base/status.ts";
import { cli, controlPlane } from "./testing/harness.ts";
import { MODEL_ID } from "./testing/models.ts";

const event = (id: number, status = ModelStatus.LOADING) => ({
  eventId: BigInt(id),
  log: `event ${id}`,
  status,
  eventType: EventType.STATUS_CHANGED,
});

/** As long as the client listens. */
function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

test("events are printed oldest first, and followed from the last one until the model is gone", async (t) => {
  const asked: bigint[] = [];
  const plane = await controlPlane(t, (router) =>
    router.service(ModelControlService, {
      listModelEvents: () => ({ events: [event(2), event(1)] }),
      async *watchModelEvents({ afterEventId }) {
        asked.push(afterEventId);
        yield { event: event(3) };
        yield { event: event(4, ModelStatus.DELETED) };
      },
    }),
  );
  const slipway = await cli(t, plane.env);
  const ran = await slipway.run(["models", "events", MODEL_ID, "--follow"]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.deepEqual(ran.stdout.match(/event \d/g), ["event 1", "event 2", "event 3", "event 4"]);
  assert.deepEqual(asked, [2n]);
  const json = await slipway.run(["models", "events", MODEL_ID, "--follow", "--output", "json"]);
  const ids = json.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).event.eventId);
  assert.deepEqual(ids, ["1", "2", "3", "4"]);
});

test("a stream whose connection breaks is taken up again after the last event", async (t) => {
  const asked: bigint[] = [];
  const plane = await controlPlane(t, (router) =>
    router.service(ModelControlService, {
      listModelEvents: () => ({ events: [] }),
      async *watchModelEvents({ afterEventId }, context) {
        asked.push(afterEventId);
        const next = Number(afterEventId) + 1;
        yield { event: event(next, next === 3 ? ModelStatus.DELETED : ModelStatus.LOADING) };
        if (next < 3) await ended(context.signal);
      },
    }),
  );
  const slipway = await cli(t, plane.env);
  // Breaks the first two connections once their event has come.
  let broken = 0;
  const breaking: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (!String(input).endsWith("WatchModelEvents") || broken === 2 || !response.body) return response;
    broken++;
    const source = response.body.getReader();
    const body = new ReadableStream({
      async pull(controller) {
        const { value } = await source.read();
        controller.enqueue(value);
        setImmediate(() => {
          controller.error(new Error("connection reset"));
          void source.cancel();
        });
      },
    });
    return new Response(body, { status: response.status, headers: response.headers });
  };
  const ran = await slipway.run(["models", "events", MODEL_ID, "--follow"], { fetch: breaking });
  assert.equal(ran.status, 0, ran.stderr);
  assert.deepEqual(ran.stdout.match(/event \d/g), ["event 1", "event 2", "event 3"]);
  assert.deepEqual(asked, [0n, 1n, 2n]);
  assert.match(ran.stderr, /taking it up again/);
});

test("logs show the last lines, and following them is left by an interrupt without a failure", async (t) => {
  const plane = await controlPlane(t, (router) =>
    router.service(ModelControlService, {
      getModelLogs: ({ tailLines }) => ({
        lines: [{ replica: "r-0", line: `of ${tailLines} \u001b[31mred` }],
      }),
      async *streamModelLogs(_request, context) {
        yield { line: { replica: "r-0", line: "first" } };
        yield { line: { replica: "r-1", line: "second" } };
        await ended(context.signal);
      },
    }),
  );
  const slipway = await cli(t, plane.env);
  const ran = await slipway.run(["models", "logs", MODEL_ID, "--tail", "5"]);
  assert.equal(ran.stdout, "r-0  of 5 [31mred\n");
  const interrupt = new AbortController();
  const followed = await slipway.run(["models", "logs", MODEL_ID, "--follow"], {
    interrupted: interrupt.signal,
    onOutput: (text) => {
      if (text.includes("second")) interrupt.abort(new Error("SIGINT"));
    },
  });
  assert.equal(followed.status, 0, followed.stderr);
  assert.equal(followed.stdout, "r-0  first\nr-1  second\n");
});

test("a stream that is refused is told as any refusal", async (t) => {
  const plane = await controlPlane(t, (router) =>
    router.service(ModelControlService, {
      // biome-ignore lint/correctness/useYield: it is refused before anything comes
      async *streamModelLogs() {
        throw new StatusError({
          code: "UNAVAILABLE",
          reason: "LOGS_UNAVAILABLE",
          message: "There are no logs.",
        });
      },
    }),
  );
  const slipway = await cli(t, plane.env);
  const ran = await slipway.run(["models", "logs", MODEL_ID, "--follow"]);
  assert.equal(ran.status, 7);
  assert.match(ran.stderr, /LOGS_UNAVAILABLE/);
});
