import assert from "node:assert/strict";
import { test } from "node:test";
import { create, equals, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import {
  ModelControlService,
  WatchModelEventsResponseSchema,
} from "../../../gen/slipway/model/v1/model_control_service_pb.js";
import {
  BillingModelService,
  DeployModelResponseSchema,
} from "../../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import { GetModelResponseSchema, ModelService } from "../../../gen/tensormesh/model/v1/model_service_pb.js";
import { StatusError } from "../../../src/base/status.ts";
import { fromConnectError, principalOf, requestIdOf, toStatusJson } from "../../../src/rpc/index.ts";
import { AUTHORIZED, type EdgeOptions, edge, USER_ID } from "./fixture.ts";
import { SAMPLE_UUID, sample } from "./sample.ts";

type TestContext = Parameters<typeof edge>[0];

/** A served edge and a client transport of each protocol. */
async function served(t: TestContext, options: EdgeOptions) {
  const it = edge(t, options);
  const { port, grpcPort } = await it.server.listen({ host: "127.0.0.1", port: 0, grpcPort: 0 });
  const rest = `http://127.0.0.1:${port}`;
  const transports: Record<string, Transport> = {
    "connect with JSON": createConnectTransport({
      baseUrl: rest,
      httpVersion: "1.1",
      useBinaryFormat: false,
    }),
    "connect with binary": createConnectTransport({
      baseUrl: rest,
      httpVersion: "1.1",
      useBinaryFormat: true,
    }),
    grpc: createGrpcTransport({ baseUrl: `http://127.0.0.1:${grpcPort}` }),
  };
  return { ...it, rest, transports };
}

async function errorOf(work: Promise<unknown>): Promise<ConnectError> {
  try {
    await work;
  } catch (thrown) {
    assert.ok(thrown instanceof ConnectError);
    return thrown;
  }
  assert.fail("the call succeeded");
}

test("Connect and gRPC give the same answer as REST", async (t) => {
  const full = sample(GetModelResponseSchema);
  const { transports } = await served(t, { handlers: { unary: () => full } });
  for (const [name, transport] of Object.entries(transports)) {
    const client = createClient(ModelService, transport);
    const response = await client.getModel({ modelId: SAMPLE_UUID }, { headers: AUTHORIZED });
    assert.ok(equals(GetModelResponseSchema, response, full), name);
  }
});

test("every kind of error is the same google.rpc.Status on every surface", async (t) => {
  const errors: Record<string, () => never> = {
    taken: () => {
      throw new StatusError({ code: "ALREADY_EXISTS", reason: "MODEL_NAME_TAKEN", message: "You have one." });
    },
    poor: () => {
      throw new StatusError({
        code: "FAILED_PRECONDITION",
        reason: "BALANCE_TOO_LOW",
        message: "The balance is too low.",
        metadata: { needed: "1.50 USD" },
      });
    },
    busy: () => {
      throw new StatusError({
        code: "UNAVAILABLE",
        reason: "PROVIDER_UNREACHABLE",
        message: "Not now.",
        retryAfterMs: 1_500,
      });
    },
    broken: () => {
      throw new Error("the words of the cause");
    },
    "": () => assert.fail("validation let an empty name through"),
  };
  const unary = (_method: unknown, request: Message) => {
    errors["modelName" in request ? String(request.modelName) : ""]?.();
    return create(DeployModelResponseSchema);
  };
  const { transports, rest } = await served(t, { handlers: { unary } });
  for (const modelName of Object.keys(errors)) {
    const request = { modelName, modelPath: "acme/tiny", gpuCount: modelName === "" ? -1 : 0 };
    const answer = await fetch(`${rest}/v1/models`, {
      method: "POST",
      headers: { ...AUTHORIZED, "content-type": "application/json" },
      body: JSON.stringify(request),
    });
    const expected: unknown = await answer.json();
    for (const [name, transport] of Object.entries(transports)) {
      const error = await errorOf(
        createClient(BillingModelService, transport).deployModel(request, { headers: AUTHORIZED }),
      );
      assert.deepEqual(toStatusJson(fromConnectError(error)), expected, `${modelName} over ${name}`);
      assert.ok(error.metadata.get("x-request-id"), `${modelName} over ${name}`);
      assert.equal(
        error.metadata.get("retry-after"),
        answer.headers.get("retry-after"),
        `${modelName} over ${name}`,
      );
    }
  }
});

test("no call runs without a valid token, and none is read before it is checked", async (t) => {
  const { transports, calls } = await served(t, { handlers: {} });
  for (const [name, transport] of Object.entries(transports)) {
    const client = createClient(BillingModelService, transport);
    const missing = await errorOf(client.deployModel({}));
    assert.equal(missing.code, Code.Unauthenticated, name);
    assert.equal(fromConnectError(missing).reason, "TOKEN_MISSING", name);
    const wrong = await errorOf(client.deployModel({}, { headers: { authorization: "Bearer nobody" } }));
    assert.equal(fromConnectError(wrong).reason, "TOKEN_INVALID", name);
    const watching = createClient(ModelControlService, transport).watchModelEvents({ modelId: SAMPLE_UUID });
    const stream = await errorOf(watching[Symbol.asyncIterator]().next());
    assert.equal(fromConnectError(stream).reason, "TOKEN_MISSING", name);
  }
  assert.deepEqual(new Set(calls.map(({ code }) => code)), new Set(["UNAUTHENTICATED"]));
});

test("a handler sees the principal and the request id that the caller sent", async (t) => {
  const seen: string[] = [];
  const { transports, rest } = await served(t, {
    handlers: {
      unary(method, _request, context) {
        seen.push(`${principalOf(context).userId} ${requestIdOf(context)}`);
        return create(method.output);
      },
    },
  });
  const headers = { ...AUTHORIZED, "x-request-id": "abc-1" };
  for (const transport of Object.values(transports)) {
    await createClient(ModelService, transport).getModel({ modelId: SAMPLE_UUID }, { headers });
  }
  await fetch(`${rest}/v1/models/${SAMPLE_UUID}`, { headers });
  assert.deepEqual(seen, Array(4).fill(`${USER_ID} abc-1`));
});

test("a stream gives its messages and then its error over Connect and gRPC", async (t) => {
  const { transports } = await served(t, {
    handlers: {
      async *stream() {
        yield create(WatchModelEventsResponseSchema, { event: { log: "one" } });
        throw new StatusError({ code: "NOT_FOUND", reason: "MODEL_NOT_FOUND", message: "It is gone." });
      },
    },
  });
  for (const [name, transport] of Object.entries(transports)) {
    const stream = createClient(ModelControlService, transport)
      .watchModelEvents({ modelId: SAMPLE_UUID }, { headers: AUTHORIZED })
      [Symbol.asyncIterator]();
    assert.equal((await stream.next()).value.event.log, "one", name);
    assert.equal(fromConnectError(await errorOf(stream.next())).reason, "MODEL_NOT_FOUND", name);
  }
});

test("a method that no domain serves is NOT_IMPLEMENTED, not a crash", async (t) => {
  const { transports } = await served(t, { handlers: {}, services: [ModelService] });
  for (const [name, transport] of Object.entries(transports)) {
    const error = await errorOf(
      createClient(BillingModelService, transport).deployModel({}, { headers: AUTHORIZED }),
    );
    assert.equal(error.code, Code.Unimplemented, name);
  }
});

test("an unknown enum name is refused over Connect too, and nothing runs", async (t) => {
  const { rest } = await served(t, { handlers: {} });
  const response = await fetch(`${rest}/tensormesh.billing.v1.BillingModelService/DeployModel`, {
    method: "POST",
    headers: { ...AUTHORIZED, "content-type": "application/json" },
    body: JSON.stringify({ modelName: "chat", modelPath: "acme/tiny", gpuType: "GPU_TYPE_H900" }),
  });
  assert.equal(response.status, 400);
  assert.match(await response.text(), /invalid_argument.*GPUType/);
});
