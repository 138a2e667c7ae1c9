import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConnectRouter } from "@connectrpc/connect";
import { StatusError } from "../base/status.ts";
import { ADMIN_TOKEN, controlPlane, USER_TOKEN } from "../cli/testing/harness.ts";
import {
  AdminBillingService,
  BillingModelService,
  createSlipway,
  keyed,
  ModelControlService,
  ModelService,
  type SlipwayOptions,
  services,
  UnreachableError,
  UserBalanceService,
} from "./index.ts";

type Test = Parameters<typeof controlPlane>[0];

async function slipwayOf(
  t: Test,
  routes: (router: ConnectRouter) => void,
  options: Partial<SlipwayOptions> = {},
) {
  const { url } = await controlPlane(t, routes);
  const slept: number[] = [];
  const sleep = async (ms: number) => void slept.push(ms);
  return { slept, slipway: createSlipway({ baseUrl: url, token: USER_TOKEN, sleep, ...options }) };
}

const busy = (retryAfterMs?: number) =>
  new StatusError({
    code: "UNAVAILABLE",
    reason: "UNAVAILABLE",
    message: "Not now.",
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });

/** A method that fails `failures` times, and counts its calls. */
function failing(failures: number, error: () => StatusError = busy) {
  const calls: Headers[] = [];
  const answer = (_request: unknown, context: { requestHeader: Headers }) => {
    calls.push(context.requestHeader);
    if (calls.length <= failures) throw error();
    return {};
  };
  return { calls, answer };
}

test("every service of the contract is there under its short name, with typed requests and answers", async (t) => {
  const { slipway } = await slipwayOf(t, (router) => {
    router.service(ModelService, {
      listModels: ({ pageSize }) => ({ models: [{ modelName: `first of ${pageSize}` }], nextPageToken: "" }),
    });
  });
  const { models } = await slipway.model.listModels({ pageSize: 7 });
  assert.deepEqual(
    models.map(({ modelName }) => modelName),
    ["first of 7"],
  );
  for (const [name, service] of Object.entries(services)) {
    const methods = Object.keys(slipway[name as keyof typeof services]);
    assert.deepEqual(
      methods,
      service.methods.map(({ localName }) => localName),
    );
  }
});

test("a refusal is a SlipwayError with code, reason, every violation, facts, when to come again and the request's id", async (t) => {
  const { slipway } = await slipwayOf(t, (router) => {
    router.service(BillingModelService, {
      deployModel() {
        throw new StatusError({
          code: "FAILED_PRECONDITION",
          reason: "BALANCE_TOO_LOW",
          message: "The balance does not cover the first window.",
          metadata: { needed: "0.25 USD" },
          violations: [
            { field: "gpu_count", description: "must be 0 or more", reason: "GPU_COUNT_INVALID" },
            { field: "model_name", description: "must not be empty" },
          ],
          retryAfterMs: 1_500,
        });
      },
    });
  });
  await assert.rejects(
    slipway.billingModel.deployModel({ modelName: "m", modelPath: "builtin://tiny" }),
    (error) => {
      const { name, code, reason, message, violations, metadata, retryAfterMs, requestId } = error as never;
      assert.deepEqual({ name, code, reason, message, metadata, retryAfterMs }, {
        name: "SlipwayError",
        code: "FAILED_PRECONDITION",
        reason: "BALANCE_TOO_LOW",
        message: "The balance does not cover the first window.",
        metadata: { needed: "0.25 USD" },
        retryAfterMs: 1_500,
      } as never);
      assert.deepEqual(violations, [
        { field: "gpu_count", description: "must be 0 or more", reason: "GPU_COUNT_INVALID" },
        { field: "model_name", description: "must not be empty", reason: "INVALID_FIELD" },
      ] as never);
      assert.match(requestId, /^[0-9a-f-]{36}$/);
      return true;
    },
  );
});

test("reads are repeated, also those that are POSTs; changes only with an Idempotency-Key, and always the same one", async (t) => {
  const [read, postedRead, bare, withKey] = [failing(2), failing(1), failing(1), failing(2)];
  const routes = (router: ConnectRouter) => {
    router.service(UserBalanceService, { getUserBalance: read.answer });
    router.service(AdminBillingService, {
      getUsersSpendingSummary: postedRead.answer,
      addUserBalance: bare.answer,
    });
    router.service(BillingModelService, { deployModel: withKey.answer });
  };
  const { slipway, slept } = await slipwayOf(t, routes, { token: ADMIN_TOKEN });
  await slipway.userBalance.getUserBalance({});
  assert.deepEqual(slept, [500, 1_000]);
  await slipway.adminBilling.getUsersSpendingSummary({
    targetUserIds: ["11111111-1111-4111-8111-111111111111"],
  });
  assert.equal(postedRead.calls.length, 2);
  await assert.rejects(
    slipway.adminBilling.addUserBalance({
      targetUserId: "11111111-1111-4111-8111-111111111111",
      amount: { currencyCode: "USD", units: 1n },
    }),
    { code: "UNAVAILABLE", reason: "UNAVAILABLE" },
  );
  assert.equal(bare.calls.length, 1);
  await slipway.billingModel.deployModel({ modelName: "m", modelPath: "builtin://tiny" }, keyed());
  const keys = withKey.calls.map((header) => header.get("idempotency-key"));
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
});

test("Retry-After is honoured up to its cap, and a client that is told to repeats nothing", async (t) => {
  const soon = await slipwayOf(t, (router) =>
    router.service(UserBalanceService, { getUserBalance: failing(1, () => busy(12_000)).answer }),
  );
  await soon.slipway.userBalance.getUserBalance({});
  assert.deepEqual(soon.slept, [12_000]);
  for (const [options, error] of [
    [{}, () => busy(120_000)],
    [{ repeatsMax: 0 }, busy],
  ] as const) {
    const handler = failing(1, error);
    const { slipway } = await slipwayOf(
      t,
      (router) => router.service(UserBalanceService, { getUserBalance: handler.answer }),
      options,
    );
    await assert.rejects(slipway.userBalance.getUserBalance({}), { code: "UNAVAILABLE" });
    assert.equal(handler.calls.length, 1);
  }
});

test("a token that changes is asked for before every try", async (t) => {
  const tokens = [USER_TOKEN, ADMIN_TOKEN];
  const handler = failing(1);
  const { slipway } = await slipwayOf(
    t,
    (router) => router.service(UserBalanceService, { getUserBalance: handler.answer }),
    { token: async () => tokens.shift() ?? "" },
  );
  await slipway.userBalance.getUserBalance({});
  const sent = handler.calls.map((header) => header.get("authorization"));
  assert.deepEqual(sent, [`Bearer ${USER_TOKEN}`, `Bearer ${ADMIN_TOKEN}`]);
});

/** A control plane whose watch never ends by itself; `ended` resolves when the server saw it end. */
async function watching(t: Test, options: Partial<SlipwayOptions> = {}) {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const { slipway } = await slipwayOf(
    t,
    (router) =>
      router.service(ModelControlService, {
        async *watchModelEvents({ afterEventId }, { signal }) {
          try {
            yield { event: { eventId: afterEventId + 1n } };
            yield { event: { eventId: afterEventId + 2n } };
            await new Promise((end) => signal.addEventListener("abort", end));
          } finally {
            resolve();
          }
        },
      }),
    options,
  );
  const query = { modelId: "11111111-1111-4111-8111-111111111111", afterEventId: 40n };
  return { slipway, ended, query };
}

test("a stream is an async iterable that its signal ends, and has no deadline", async (t) => {
  const { slipway, ended, query } = await watching(t, { timeoutMs: 1 });
  const stop = new AbortController();
  const ids: (bigint | undefined)[] = [];
  const read = async () => {
    for await (const { event } of slipway.modelControl.watchModelEvents(query, { signal: stop.signal })) {
      ids.push(event?.eventId);
      if (ids.length === 2) stop.abort();
    }
  };
  await assert.rejects(read(), { name: "SlipwayError", code: "CANCELLED" });
  assert.deepEqual(ids, [41n, 42n]);
  await ended;
});

test("who leaves a stream's loop ends the stream on the server too", async (t) => {
  const { slipway, ended, query } = await watching(t);
  for await (const { event } of slipway.modelControl.watchModelEvents(query)) {
    assert.equal(event?.eventId, 41n);
    break;
  }
  await ended;
});

test("a refused stream throws as any call does", async (t) => {
  const { slipway, query } = await watching(t, { token: "swt_unknown" });
  const read = async () => {
    for await (const _ of slipway.modelControl.watchModelEvents(query)) assert.fail("nothing is to be seen");
  };
  await assert.rejects(read(), { name: "SlipwayError", code: "UNAUTHENTICATED", reason: "TOKEN_INVALID" });
});

test("where nothing listens, the error says so and no secret", async () => {
  const slipway = createSlipway({ baseUrl: "http://127.0.0.1:9/", token: USER_TOKEN, repeatsMax: 0 });
  await assert.rejects(slipway.model.listModels({}), (error) => {
    assert.ok(error instanceof UnreachableError);
    assert.equal(error.reason, "UNREACHABLE");
    assert.ok(error.message.startsWith("http://127.0.0.1:9 can't be reached"), error.message);
    assert.ok(!JSON.stringify(error).includes(USER_TOKEN));
    return true;
  });
});
