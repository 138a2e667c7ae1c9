import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type Message } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import {
  BillingModelService,
  DeployModelResponseSchema,
} from "../../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import type { BaseCtx } from "../../../src/base/ctx.ts";
import { StatusError } from "../../../src/base/status.ts";
import { ctxOf, type Idempotency, type IdempotentCall, idempotencyOf } from "../../../src/rpc/index.ts";
import { AUTHORIZED, type Edge, type EdgeOptions, edge, USER_ID } from "./fixture.ts";

type TestContext = Parameters<typeof edge>[0];

/** Keeps answers in memory, by the rules of the port. */
function memory() {
  const entries = new Map<string, { hash: string; answer: Uint8Array | undefined }>();
  const keyed: IdempotentCall[] = [];
  const transactions: BaseCtx[] = [];
  const idempotency: Idempotency = {
    async begin(_ctx, call) {
      keyed.push(call);
      const id = `${call.principalId} ${call.operation} ${call.key}`;
      const hash = call.requestHash.toString("hex");
      const entry = entries.get(id);
      if (entry && entry.hash !== hash) {
        throw new StatusError({
          code: "ALREADY_EXISTS",
          reason: "IDEMPOTENCY_KEY_REUSED",
          message: "Another request.",
        });
      }
      if (entry?.answer) return { kind: "replay", answer: entry.answer };
      if (entry) {
        throw new StatusError({
          code: "ABORTED",
          reason: "IDEMPOTENCY_IN_PROGRESS",
          message: "It still runs.",
          retryAfterMs: 1_000,
        });
      }
      const own: { hash: string; answer: Uint8Array | undefined } = { hash, answer: undefined };
      entries.set(id, own);
      const complete = async (answer: Uint8Array) => {
        own.answer ??= answer;
      };
      return {
        kind: "run",
        handle: {
          complete,
          completeIn(tx, answer) {
            transactions.push(tx);
            return complete(answer);
          },
          async abandon() {
            if (!own.answer) entries.delete(id);
          },
        },
      };
    },
  };
  return { idempotency, entries, keyed, transactions };
}

/** Counts how often the handler ran; what it does is by the name of the model. */
function counting(t: TestContext, behave: (run: number, request: Message) => void = () => undefined) {
  const store = memory();
  let runs = 0;
  const unary: EdgeOptions["handlers"]["unary"] = (_method, request) => {
    runs++;
    behave(runs, request);
    return create(DeployModelResponseSchema, { model: { modelName: `run ${runs}`, apiKey: "k".repeat(32) } });
  };
  const it = edge(t, { handlers: { unary }, idempotency: store.idempotency });
  return { ...store, ...it, runs: () => runs };
}

function deploy({ server }: Edge, key: string | undefined, fields: object = {}) {
  return server.app.inject({
    method: "POST",
    url: "/v1/models",
    headers: { ...AUTHORIZED, ...(key === undefined ? {} : { "idempotency-key": key }) },
    payload: { modelName: "chat", modelPath: "acme/tiny", ...fields },
  });
}

test("a repeat with the same key gets the first answer and runs nothing", async (t) => {
  const it = counting(t);
  const first = await deploy(it, "k1");
  const second = await deploy(it, "k1");
  assert.equal(first.statusCode, 200);
  assert.equal(second.body, first.body);
  assert.equal(first.headers["idempotency-replayed"], undefined);
  assert.equal(second.headers["idempotency-replayed"], "true");
  assert.match(String(second.headers["content-type"]), /^application\/json/);
  assert.notEqual(second.headers["x-request-id"], first.headers["x-request-id"]);
  assert.equal(it.runs(), 1);
});

test("without a key every call runs", async (t) => {
  const it = counting(t);
  await deploy(it, undefined);
  await deploy(it, undefined);
  assert.equal(it.runs(), 2);
  assert.equal(it.keyed.length, 0);
});

test("the same request is the same however its JSON is written; another one under the same key is refused", async (t) => {
  const it = counting(t);
  await deploy(it, "k1", { modelSpec: { a: 1, b: { c: 2, d: 3 } } });
  const reordered = await it.server.app.inject({
    method: "POST",
    url: "/v1/models",
    headers: { ...AUTHORIZED, "idempotency-key": "k1" },
    payload: { model_spec: { b: { d: 3, c: 2 }, a: 1 }, model_path: "acme/tiny", model_name: "chat" },
  });
  assert.equal(reordered.statusCode, 200);
  const other = await deploy(it, "k1", { modelSpec: { a: 2, b: { c: 2, d: 3 } } });
  assert.equal(other.statusCode, 409);
  assert.equal(other.json().details[0].reason, "IDEMPOTENCY_KEY_REUSED");
  assert.equal(it.runs(), 1);
});

test("a key counts for one user and one operation", async (t) => {
  const it = counting(t);
  await deploy(it, "k1");
  assert.deepEqual(
    it.keyed.map(({ principalId, operation, key }) => ({ principalId, operation, key })),
    [{ principalId: USER_ID, operation: "tensormesh.billing.v1.BillingModelService/DeployModel", key: "k1" }],
  );
});

test("a definite refusal is replayed whole", async (t) => {
  const it = counting(t, (run) => {
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "BALANCE_TOO_LOW",
      message: `Refused at run ${run}.`,
      metadata: { needed: "1.50 USD" },
      violations: [{ field: "gpu_count", description: "costs too much", reason: "BALANCE_TOO_LOW" }],
    });
  });
  const first = await deploy(it, "k1");
  const second = await deploy(it, "k1");
  assert.equal(first.statusCode, 400);
  assert.deepEqual([second.statusCode, second.body], [first.statusCode, first.body]);
  assert.equal(it.runs(), 1);
});

for (const code of [
  "UNAVAILABLE",
  "INTERNAL",
  "DEADLINE_EXCEEDED",
  "ABORTED",
  "RESOURCE_EXHAUSTED",
] as const) {
  test(`${code} is no answer to keep: the repeat runs again`, async (t) => {
    const it = counting(t, (run) => {
      if (run === 1) throw new StatusError({ code, reason: "UNAVAILABLE", message: "Not now." });
    });
    assert.notEqual((await deploy(it, "k1")).statusCode, 200);
    assert.equal((await deploy(it, "k1")).statusCode, 200);
    assert.equal(it.runs(), 2);
  });
}

test("a request that breaks the contract never claims the key", async (t) => {
  const it = counting(t);
  assert.equal((await deploy(it, "k1", { gpuCount: -1 })).statusCode, 400);
  assert.equal(it.keyed.length, 0);
});

test("a key that no header or index can hold is refused", async (t) => {
  const it = counting(t);
  for (const key of ["", "a b", "x".repeat(256)]) {
    const response = await deploy(it, key);
    assert.equal(response.statusCode, 400, `key ${key.length}`);
    assert.equal(response.json().details[1].fieldViolations[0].field, "idempotency-key");
  }
  assert.equal(it.runs(), 0);
});

test("an answer that the handler stored in its transaction is replayed, even when the call failed after it", async (t) => {
  const store = memory();
  let runs = 0;
  const it = edge(t, {
    idempotency: store.idempotency,
    handlers: {
      async unary(_method, _request, context) {
        runs++;
        const response = create(DeployModelResponseSchema, { model: { modelName: `run ${runs}` } });
        await idempotencyOf(context)?.completeIn(ctxOf(context), DeployModelResponseSchema, response);
        throw new Error("the connection broke after the commit");
      },
    },
  });
  assert.equal((await deploy(it, "k1")).statusCode, 500);
  const second = await deploy(it, "k1");
  assert.equal(second.statusCode, 200);
  assert.equal(second.json().model.modelName, "run 1");
  assert.equal(runs, 1);
  assert.equal(store.transactions.length, 1);
});

test("reads and calls without POST take no key", async (t) => {
  const store = memory();
  const it = edge(t, {
    idempotency: store.idempotency,
    handlers: { unary: (method) => create(method.output) },
  });
  const headers = { ...AUTHORIZED, "idempotency-key": "k1" };
  await it.server.app.inject({ url: "/v1/models", headers });
  const payload = { targetUserIds: [USER_ID] };
  const read = await it.server.app.inject({
    method: "POST",
    url: "/v1/admin/billing/balances",
    headers,
    payload,
  });
  assert.equal(read.statusCode, 200);
  assert.equal(store.keyed.length, 0);
});

test("a key works the same over Connect", async (t) => {
  const it = counting(t);
  const { port } = await it.server.listen({ host: "127.0.0.1", port: 0 });
  const transport = createConnectTransport({ baseUrl: `http://127.0.0.1:${port}`, httpVersion: "1.1" });
  const client = createClient(BillingModelService, transport);
  const request = { modelName: "chat", modelPath: "acme/tiny" };
  const headers = { ...AUTHORIZED, "idempotency-key": "k1" };
  const first = await client.deployModel(request, { headers });
  assert.deepEqual(await client.deployModel(request, { headers }), first);
  assert.equal(it.runs(), 1);
  assert.equal((await deploy(it, "k1")).json().model.modelName, "run 1");
});
