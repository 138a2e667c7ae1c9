/** Billing over REST, through the real edge, identity and database. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ANYTHING_BUDGETED,
  CURRENCY,
  cpuPrice,
  credit,
  type Fixture,
  fixture,
  tokenPriceOf,
  units,
  usage,
} from "../../test/support/billing.ts";
import { secretBox } from "../base/seal.ts";
import { withTransaction } from "../db/db.ts";
import { createIdempotency } from "../idempotency/index.ts";
import {
  authenticate,
  bootstrapAdmin,
  createAccessToken,
  createUser,
  requireUsers,
} from "../identity/index.ts";
import * as edge from "../rpc/index.ts";
import {
  billingRoutes,
  configureBilling,
  endSlot,
  ensureWindowHeld,
  ingestUsage,
  leaseSlice,
  meterProbe,
  testPayments,
} from "./index.ts";

/** Any JSON value, looked into by name or index. */
interface Json {
  readonly [name: string]: Json | undefined;
}
interface Answer {
  readonly status: number;
  readonly body: Json;
  /** ErrorInfo's reason. */
  readonly reason: string | undefined;
}

const usd = (amount: string, nanos = 0) => ({ currencyCode: CURRENCY, units: amount, nanos });

async function setup(t: Parameters<typeof fixture>[0], payments: "test" | "off" = "test") {
  const f = await fixture(t);
  await configureBilling(f.ctx, {
    currency: CURRENCY,
    payments: "test",
    adjustmentAloneMaxNanos: units(100),
  });
  const idempotency = createIdempotency({ box: secretBox("k".repeat(32)) });
  const { db } = f.ctx;
  const server = edge.createRpcServer({
    ctx: f.ctx,
    routes: [
      billingRoutes({
        db,
        edge,
        budgeted: ANYTHING_BUDGETED,
        payments: payments === "test" ? testPayments() : undefined,
      }),
    ],
    authenticate: (call, bearer) => authenticate({ ...call, db }, bearer),
    requireUsers: (call, userIds) => requireUsers({ ...call, db }, userIds),
    idempotency: { begin: (call, input) => idempotency.begin({ ...call, db }, input) },
    openApi: "{}",
    version: "test",
    health: () => ({ ok: true, facts: {} }),
  });
  t.after(() => server.close());
  const call = async (
    token: string,
    method: "GET" | "POST",
    url: string,
    payload?: object,
    headers?: Record<string, string>,
  ): Promise<Answer> => {
    const answer = await server.app.inject({
      method,
      url,
      headers: { authorization: `Bearer ${token}`, ...headers },
      ...(payload && { payload }),
    });
    const body: Json = answer.json();
    const reason = body.details?.[0]?.reason;
    return { status: answer.statusCode, body, reason: reason === undefined ? undefined : String(reason) };
  };
  const admin = (await bootstrapAdmin(f.ctx, { name: "Root" })).token;
  return { f, call, admin, user: await tokenOf(f, f.userId) };
}

async function tokenOf(f: Fixture, userId: string): Promise<string> {
  return (await createAccessToken(f.ctx, { userId, name: "t", scopes: [], expiresAt: null })).token;
}

test("an administrator grants credit and the user sees the balance, what is held, and the line", async (t) => {
  const { f, call, admin, user } = await setup(t);
  const grant = { targetUserId: f.userId, amount: usd("25", 500_000_000), description: "welcome" };
  const granted = await call(admin, "POST", "/v1/admin/billing/balances:add", grant);
  assert.deepEqual(granted.body.balance, usd("25", 500_000_000));
  const balance = await call(user, "GET", "/v1/billing/balance");
  assert.deepEqual(balance.body, {
    balance: usd("25", 500_000_000),
    available: usd("25", 500_000_000),
    held: usd("0"),
    burnRateHourly: usd("0"),
    tokenSpendHourly: usd("0"),
    emptyAt: null,
    credit: {
      total: usd("25", 500_000_000),
      pots: [
        {
          ...{ grantId: "", reason: "", granted: null, left: usd("25", 500_000_000), held: usd("0") },
          expiresAt: null,
        },
      ],
    },
  });
  const { body } = await call(user, "GET", "/v1/billing/transactions");
  const line = body.transactions?.[0];
  assert.deepEqual(
    [line?.code, line?.type, line?.status, line?.description, line?.amount],
    [
      "credit.grant",
      "TRANSACTION_TYPE_CREDIT",
      "TRANSACTION_STATUS_SUCCEEDED",
      "Credit: welcome",
      usd("25", 500_000_000),
    ],
  );
  const many = await call(admin, "POST", "/v1/admin/billing/balances", { targetUserIds: [f.userId] });
  assert.deepEqual(many.body.balances, [{ userId: f.userId, balance: usd("25", 500_000_000) }]);
});

test("credit with an end is listed as the grant that it is; above what one administrator gives alone another one approves", async (t) => {
  const { f, call, admin, user } = await setup(t);
  const second = (await createUser(f.ctx, { role: "ADMIN" })).id;
  const expiresAt = "2026-04-01T00:00:00Z";
  const add = (units: string, change: object = {}) =>
    call(admin, "POST", "/v1/admin/billing/balances:add", {
      ...{ targetUserId: f.userId, amount: usd(units), description: "spring", expiresAt, ...change },
    });
  assert.equal((await add("40")).status, 200);
  const refused: readonly (readonly [object, string])[] = [
    [{ amount: usd("1", 0.5) }, "INVALID_FIELD"],
    [{ amount: usd("0") }, "AMOUNT_INVALID"],
    [{ amount: usd("-1") }, "AMOUNT_INVALID"],
    [{ amount: usd("100000000000") }, "AMOUNT_INVALID"],
    [{ amount: { ...usd("1"), currencyCode: "EUR" } }, "CURRENCY_MISMATCH"],
    [{ expiresAt: "2026-02-01T00:00:00Z" }, "EXPIRY_INVALID"],
    [{ expiresAt: "2099-01-01T00:00:00Z" }, "EXPIRY_INVALID"],
    [{ amount: usd("61") }, "SECOND_ADMIN_NEEDED"],
  ];
  for (const [change, reason] of refused) {
    const answer = await add("1", change);
    assert.deepEqual([answer.status, answer.reason], [400, reason], JSON.stringify(change));
  }
  const grant = { targetUserId: f.userId, direction: "ADJUSTMENT_DIRECTION_CREDIT", reason: "launch" };
  const proposed = await call(admin, "POST", "/v1/admin/billing/adjustments", {
    ...{ ...grant, kind: "ADJUSTMENT_KIND_GRANT", amount: usd("500"), creditExpiresAt: expiresAt },
  });
  const { adjustmentId, status, kind, creditExpiresAt } = proposed.body.adjustment ?? {};
  assert.deepEqual(
    [status, kind, creditExpiresAt],
    ["ADJUSTMENT_STATUS_PROPOSED", "ADJUSTMENT_KIND_GRANT", expiresAt],
  );
  const approver = await tokenOf(f, second);
  await call(approver, "POST", `/v1/admin/billing/adjustments/${adjustmentId}:approve`, {});
  const { body } = await call(user, "GET", "/v1/billing/balance");
  assert.deepEqual(body.credit?.total, usd("540"));
  const pots = [body.credit?.pots?.[0], body.credit?.pots?.[1]].map((one) => [
    one?.reason,
    one?.granted,
    one?.left,
  ]);
  assert.deepEqual(pots, [
    ["spring", usd("40"), usd("40")],
    ["launch", usd("500"), usd("500")],
  ]);
  assert.equal(body.credit?.pots?.[1]?.expiresAt, expiresAt);
});

test("credit under an Idempotency-Key is given once", async (t) => {
  const { f, call, admin } = await setup(t);
  const grant = { targetUserId: f.userId, amount: usd("1") };
  for (let i = 0; i < 2; i++) {
    const answer = await call(admin, "POST", "/v1/admin/billing/balances:add", grant, {
      "idempotency-key": "one",
    });
    assert.deepEqual(answer.body.balance, usd("1"));
  }
});

test("what is an administrator's is refused to users, and another's money to all but administrators", async (t) => {
  const { f, call, admin, user } = await setup(t);
  const other = (await createUser(f.ctx, {})).id;
  const refused: readonly (readonly ["GET" | "POST", string, object?])[] = [
    ["POST", "/v1/admin/billing/balances:add", { targetUserId: other, amount: usd("1") }],
    ["POST", "/v1/admin/billing/balances", { targetUserIds: [other] }],
    ["GET", "/v1/admin/billing/gpu-pricing"],
    ["GET", "/v1/admin/billing/serverless-pricing"],
    ["GET", `/v1/billing/balance?userId=${other}`],
    ["GET", `/v1/billing/transactions?userId=${other}`],
    ["GET", `/v1/billing/receipts?userId=${other}`],
    ["GET", `/v1/billing/spending/summary?userId=${other}`],
    ["GET", `/v1/billing/spending/history?userId=${other}`],
    ["POST", "/v1/admin/billing/spending/summary", { targetUserIds: [other] }],
    ["GET", `/v1/billing/usage?userId=${other}`],
    ["GET", `/v1/billing/usage/history?userId=${other}`],
    ["GET", `/v1/billing/stripe/customers?userId=${other}`],
    ["GET", `/v1/billing/stripe/customers/payment-methods?userId=${other}`],
  ];
  for (const [method, path, body] of refused) {
    const answer = await call(user, method, path, body);
    assert.deepEqual([answer.status, answer.reason], [403, "NOT_ALLOWED"], path);
  }
  assert.equal((await call(admin, "GET", `/v1/billing/balance?userId=${other}`)).status, 200);
  const missing = await call(admin, "GET", `/v1/billing/balance?userId=${f.ctx.random.uuid()}`);
  assert.equal(missing.reason, "USER_NOT_FOUND");
});

test("a card is attached, listed, charged once under an Idempotency-Key, and its payment is in the statement", async (t) => {
  const { call, user } = await setup(t);
  const cards = "/v1/billing/stripe/customers/payment-methods";
  const pay = (amount: object, key: string) =>
    call(user, "POST", "/v1/billing/stripe/payment-intents", { amount }, { "idempotency-key": key });
  assert.equal((await pay(usd("5"), "early")).reason, "CARD_MISSING");
  const attached = await call(user, "POST", cards, { stripePaymentMethodId: "pm_card_visa" });
  assert.deepEqual(attached.body, { empty: {} });
  const listed = await call(user, "GET", cards);
  assert.deepEqual(listed.body.stripePaymentMethodIds, ["pm_card_visa"]);
  assert.deepEqual(listed.body.paymentMethods?.[0], {
    stripePaymentMethodId: "pm_card_visa",
    brand: "visa",
    last4: "4242",
    type: "STRIPE_PAYMENT_METHOD_TYPE_CARD",
    expMonth: 12,
    expYear: 2099,
    isDefault: true,
    cardExpiry: "CARD_EXPIRY_VALID",
  });
  const paid = await pay(usd("5"), "k");
  assert.equal(paid.body.status, "TRANSACTION_STATUS_SUCCEEDED");
  assert.deepEqual((await pay(usd("5"), "k")).body, paid.body);
  assert.deepEqual((await call(user, "GET", "/v1/billing/balance")).body.balance, usd("5"));
  const { body } = await call(user, "GET", "/v1/billing/transactions?type=TRANSACTION_TYPE_TOP_UP");
  assert.deepEqual(
    [body.transactions?.length, body.transactions?.[0]?.stripePaymentIntentId],
    [1, paid.body.stripePaymentIntentId],
  );
});

test("a declined payment is in the statement as failed, with the reason", async (t) => {
  const { call, user } = await setup(t);
  const cards = "/v1/billing/stripe/customers/payment-methods";
  await call(user, "POST", cards, { stripePaymentMethodId: "pm_card_chargeDeclined" });
  const declined = await call(user, "POST", "/v1/billing/stripe/payment-intents", { amount: usd("5") });
  assert.deepEqual([declined.status, declined.reason], [400, "CARD_DECLINED"]);
  const { body } = await call(user, "GET", "/v1/billing/transactions");
  assert.equal(body.transactions?.[0]?.status, "TRANSACTION_STATUS_FAILED");
  assert.match(String(body.transactions?.[0]?.description), /declined/);
  assert.deepEqual((await call(user, "GET", "/v1/billing/balance")).body.balance, usd("0"));
});

test("an administrator refunds a payment once, the user can't, and both see it in the statement", async (t) => {
  const { call, admin, user } = await setup(t);
  await call(user, "POST", "/v1/billing/stripe/customers/payment-methods", {
    stripePaymentMethodId: "pm_card_visa",
  });
  const paid = await call(user, "POST", "/v1/billing/stripe/payment-intents", { amount: usd("5") });
  const order = { stripePaymentIntentId: paid.body.stripePaymentIntentId, amount: usd("2") };
  assert.equal((await call(user, "POST", "/v1/admin/billing/refunds", order)).reason, "NOT_ALLOWED");
  for (let i = 0; i < 2; i++) {
    const { body } = await call(admin, "POST", "/v1/admin/billing/refunds", order, {
      "idempotency-key": "r",
    });
    assert.equal(body.refund?.status, "TRANSACTION_STATUS_SUCCEEDED");
  }
  assert.deepEqual((await call(user, "GET", "/v1/billing/balance")).body.balance, usd("3"));
  const { body } = await call(user, "GET", "/v1/billing/transactions?type=TRANSACTION_TYPE_REFUND");
  assert.equal(body.transactions?.[0]?.description, "Refund to the card");
  const more = { ...order, amount: usd("4") };
  assert.equal((await call(admin, "POST", "/v1/admin/billing/refunds", more)).reason, "REFUND_REFUSED");
});

test("where no payments are taken the card calls say so", async (t) => {
  const { call, user } = await setup(t, "off");
  const answer = await call(user, "GET", "/v1/billing/stripe/customers");
  assert.deepEqual([answer.status, answer.reason], [501, "NOT_IMPLEMENTED"]);
});

test("prices are set by administrators, read by all, and conflicts are told", async (t) => {
  const { call, admin, user } = await setup(t);
  const gpu = {
    cloudProvider: "CLOUD_PROVIDER_ONPREM",
    region: "local",
    gpuType: "GPU_TYPE_UNSPECIFIED",
    hourlyRate: usd("0", 100_000_000),
  };
  const made = await call(admin, "POST", "/v1/admin/billing/gpu-pricing", gpu);
  assert.deepEqual([made.status, made.body.price?.isActive], [200, true]);
  const again = await call(admin, "POST", "/v1/admin/billing/gpu-pricing", gpu);
  assert.deepEqual([again.status, again.reason], [409, "PRICE_CONFLICT"]);
  const tokens = {
    servedName: "tiny",
    inputPricePerMillion: usd("2"),
    cachedPricePerMillion: usd("0"),
    outputPricePerMillion: usd("6"),
  };
  assert.equal((await call(admin, "POST", "/v1/admin/billing/serverless-pricing", tokens)).status, 200);
  const euro = {
    ...tokens,
    servedName: "b",
    outputPricePerMillion: { currencyCode: "EUR", units: "6", nanos: 0 },
  };
  const mixed = await call(admin, "POST", "/v1/admin/billing/serverless-pricing", euro);
  assert.equal(mixed.reason, "CURRENCY_MISMATCH");
  const gpus = await call(
    user,
    "GET",
    "/v1/billing/gpu-pricing?activeOnly=true&cloudProvider=CLOUD_PROVIDER_ONPREM",
  );
  assert.deepEqual(gpus.body.pricing?.[0]?.hourlyRate, usd("0", 100_000_000));
  const serverless = await call(user, "GET", "/v1/billing/serverless-pricing?model=tiny");
  assert.equal(serverless.body.pricing?.[0]?.model, "tiny");
  const versions = await call(admin, "GET", "/v1/admin/billing/gpu-pricing?pageSize=1");
  assert.deepEqual([versions.body.prices?.length, versions.body.nextPageToken], [1, ""]);
});

test("receipts are found by request and by window, listed by model, and hidden from others", async (t) => {
  const { f, call, admin, user } = await setup(t);
  await credit(f, units(10));
  const price = await tokenPriceOf(f);
  const slice = await leaseSlice(f.ctx, {
    ...{ gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: CURRENCY, now: f.now() },
  });
  const record = usage(f, { sliceId: slice.sliceId, priceVersionId: price.versionId });
  await ingestUsage(f.ctx, [record]);
  const windowModel = await serveOneWindow(f);
  const receipt = await call(user, "GET", `/v1/billing/receipts/${record.requestId}`);
  assert.deepEqual(receipt.body.receipt?.tokens, {
    promptTokens: "1000",
    cachedTokens: "400",
    completionTokens: "100",
    estimated: false,
    inputPricePerMillion: usd("2"),
    cachedPricePerMillion: usd("0"),
    outputPricePerMillion: usd("6"),
  });
  assert.deepEqual(receipt.body.receipt?.charge, usd("0", 1_800_000));
  const { body } = await call(user, "GET", `/v1/billing/receipts?modelId=${windowModel}`);
  const window = body.receipts?.[0];
  assert.deepEqual([window?.gpu?.chargedMs, window?.charge], ["20000", usd("0", 20_000_000)]);
  const byId = await call(user, "GET", `/v1/billing/receipts/${window?.receiptId}`);
  assert.equal(byId.body.receipt?.transferId, window?.transferId);
  const stranger = await tokenOf(f, (await createUser(f.ctx, {})).id);
  const path = `/v1/billing/receipts/${record.requestId}`;
  assert.deepEqual((await call(stranger, "GET", path)).reason, "RECEIPT_NOT_FOUND");
  assert.equal((await call(admin, "GET", path)).status, 200);
  assert.equal((await call(user, "GET", "/v1/billing/receipts/none")).status, 404);
});

test("receipts and transactions of both kinds are paged without gaps or repeats", async (t) => {
  const { f, call, user } = await setup(t);
  await credit(f, units(10));
  for (let i = 0; i < 3; i++) {
    await ingestUsage(f.ctx, [usage(f), usage(f)]);
    await serveOneWindow(f);
  }
  assert.equal((await pages(call, user, "receipts", "receiptId")).size, 9);
  assert.equal((await pages(call, user, "transactions", "transactionId")).size, 4);
  const first = await call(user, "GET", "/v1/billing/receipts?pageSize=2");
  const foreign = await call(user, "GET", `/v1/billing/transactions?pageToken=${first.body.nextPageToken}`);
  assert.deepEqual([foreign.status, foreign.reason], [400, "INVALID_FIELD"]);
});

test("spending is told to the user by period and by day, and to administrators of many at once", async (t) => {
  const { f, call, admin, user } = await setup(t);
  await credit(f, units(10));
  await serveOneWindow(f);
  const price = await tokenPriceOf(f);
  const lease = { gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: CURRENCY, now: f.now() };
  const { sliceId } = await leaseSlice(f.ctx, lease);
  await ingestUsage(f.ctx, [usage(f, { sliceId, priceVersionId: price.versionId })]);
  const spent = usd("0", 21_800_000);
  const summary = await call(user, "GET", "/v1/billing/spending/summary");
  assert.deepEqual(summary.body, { spend24h: spent, spend7d: spent, spend30d: spent });
  const { body } = await call(user, "GET", "/v1/billing/spending/history");
  assert.deepEqual(Object.values(body.buckets ?? {}).at(-1), {
    bucketStart: "2026-03-01T00:00:00Z",
    amount: spent,
    costSaving: usd("0", 800_000),
  });
  assert.deepEqual(
    [body.buckets?.length, body.buckets?.[0]?.bucketStart, body.buckets?.[0]?.amount],
    [31, "2026-01-30T00:00:00Z", usd("0")],
  );
  const other = (await createUser(f.ctx, {})).id;
  const many = await call(admin, "POST", "/v1/admin/billing/spending/summary", {
    targetUserIds: [other, f.userId],
  });
  assert.deepEqual(many.body.summaries, [
    { userId: other, spend24h: usd("0"), spend7d: usd("0"), spend30d: usd("0") },
    { userId: f.userId, spend24h: spent, spend7d: spent, spend30d: spent },
  ]);
  const named = await call(admin, "POST", "/v1/admin/billing/spending/summary", {
    userId: other,
    targetUserIds: [other],
  });
  assert.deepEqual([named.status, named.reason], [403, "NOT_ALLOWED"]);
  const missing = await call(admin, "GET", `/v1/billing/spending/history?userId=${f.ctx.random.uuid()}`);
  assert.equal(missing.reason, "USER_NOT_FOUND");
});

test("every transaction of the list is found by its id, by its user and administrators alone", async (t) => {
  const { f, call, admin, user } = await setup(t);
  const cards = "/v1/billing/stripe/customers/payment-methods";
  await call(user, "POST", cards, { stripePaymentMethodId: "pm_card_chargeDeclined" });
  await call(user, "POST", "/v1/billing/stripe/payment-intents", { amount: usd("5") });
  await credit(f, units(10));
  await serveOneWindow(f);
  const price = await tokenPriceOf(f);
  const lease = { gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: CURRENCY, now: f.now() };
  const { sliceId } = await leaseSlice(f.ctx, lease);
  await ingestUsage(f.ctx, [usage(f, { sliceId, priceVersionId: price.versionId })]);
  const { body } = await call(user, "GET", "/v1/billing/transactions");
  const lines = Object.values(body.transactions ?? {});
  const kinds = ["charge.gpu", "charge.tokens", "credit.grant", "topup.card"];
  assert.deepEqual(lines.map((line) => String(line?.code)).sort(), kinds);
  const stranger = await tokenOf(f, (await createUser(f.ctx, {})).id);
  for (const line of lines) {
    const path = `/v1/billing/transactions/${line?.transactionId}`;
    assert.deepEqual((await call(user, "GET", path)).body, { transaction: line });
    assert.deepEqual((await call(admin, "GET", `${path}?userId=${f.userId}`)).body, { transaction: line });
    for (const token of [stranger, admin]) {
      const hidden = await call(token, "GET", path);
      assert.deepEqual([hidden.status, hidden.reason], [404, "TRANSACTION_NOT_FOUND"], path);
    }
    assert.equal((await call(stranger, "GET", `${path}?userId=${f.userId}`)).reason, "NOT_ALLOWED");
  }
  for (const id of [
    "0",
    "999999999999999999999",
    "tokens-2026-04",
    "tokens-9999-99",
    f.ctx.random.uuid(),
    "' or 1=1",
    "-1",
  ]) {
    const path = `/v1/billing/transactions/${encodeURIComponent(id)}`;
    assert.equal((await call(user, "GET", path)).reason, "TRANSACTION_NOT_FOUND", id);
  }
});

test("usage is told by model with hit rate and saving, by day, narrowed by time and model", async (t) => {
  const { f, call, user } = await setup(t);
  await credit(f, units(10));
  const windowModel = await serveOneWindow(f);
  const price = await tokenPriceOf(f);
  const lease = { gatewayId: "g", userId: f.userId, wantNanos: units(1), currency: CURRENCY, now: f.now() };
  const { sliceId } = await leaseSlice(f.ctx, lease);
  const priced = { sliceId, priceVersionId: price.versionId };
  await ingestUsage(f.ctx, [usage(f, priced), usage(f, { ...priced, cachedTokens: 600 })]);
  const { modelId } = usage(f);
  const gpuTime = { requests: "0", promptTokens: "0", cachedTokens: "0", completionTokens: "0" };
  const paid = { amount: usd("0", 20_000_000), costSaving: usd("0"), costSavingRate: 0 };
  const gpu = { ...gpuTime, gpuTimeMs: "20000", ...paid };
  const tokens = {
    ...{ requests: "2", promptTokens: "2000", cachedTokens: "1000", completionTokens: "200" },
    ...{ cacheHitRate: 0.5, gpuTimeMs: "0", amount: usd("0", 3_200_000), costSaving: usd("0", 2_000_000) },
    costSavingRate: 20 / 52,
  };
  const all = await call(user, "GET", "/v1/billing/usage");
  assert.deepEqual(all.body, {
    models: [
      { modelId: windowModel, servedName: "", usage: gpu },
      { modelId, servedName: "tiny", usage: tokens },
    ],
    total: { ...tokens, gpuTimeMs: "20000", amount: usd("0", 23_200_000), costSavingRate: 20 / 252 },
    startTime: "2026-01-30T00:00:00Z",
    endTime: "2026-03-02T00:00:00Z",
    nextPageToken: "",
  });
  const one = await call(user, "GET", `/v1/billing/usage?modelId=${modelId}&startTime=2026-03-01T00:00:00Z`);
  assert.deepEqual([one.body.models?.length, one.body.total], [1, tokens]);
  const before = await call(user, "GET", "/v1/billing/usage?endTime=2026-03-01T00:00:00Z");
  assert.deepEqual([before.body.models, before.body.total?.amount], [[], usd("0")]);
  const days = await call(user, "GET", "/v1/billing/usage/history?pageSize=1");
  const row = { bucketStart: "2026-03-01T00:00:00Z", modelId: windowModel, servedName: "", usage: gpu };
  assert.deepEqual(days.body.rows, [row]);
  const next = await call(user, "GET", `/v1/billing/usage/history?pageToken=${days.body.nextPageToken}`);
  assert.deepEqual([next.body.rows?.length, next.body.rows?.[0]?.servedName], [1, "tiny"]);
  const refused = [
    "usage?startTime=2020-01-01T00:00:00Z",
    "usage/history?startTime=2026-03-01T00:00:00Z&endTime=2026-02-01T00:00:00Z",
    `usage?pageToken=${days.body.nextPageToken}`,
  ];
  for (const path of refused) {
    const answer = await call(user, "GET", `/v1/billing/${path}`);
    assert.deepEqual([answer.status, answer.reason], [400, "INVALID_FIELD"], path);
  }
});

async function pages(
  call: Awaited<ReturnType<typeof setup>>["call"],
  token: string,
  list: "receipts" | "transactions",
  id: string,
): Promise<ReadonlySet<string>> {
  const seen = new Set<string>();
  let pageToken = "";
  do {
    const { body } = await call(token, "GET", `/v1/billing/${list}?pageSize=2&pageToken=${pageToken}`);
    for (const row of Object.values(body[list] ?? {})) {
      assert.ok(!seen.has(String(row?.[id])), "a row came twice");
      seen.add(String(row?.[id]));
    }
    pageToken = String(body.nextPageToken ?? "");
  } while (pageToken !== "");
  return seen;
}

/** Serves twenty seconds of a fresh model; returns its id. */
async function serveOneWindow(f: Fixture): Promise<string> {
  f.advance(1);
  const price = await cpuPrice(f);
  const modelId = f.ctx.random.uuid();
  const slot = { deploymentId: modelId, slot: 0 };
  const input = { ...slot, modelId, userId: f.userId, price, gpuCount: 0, windowMs: 60_000 };
  await withTransaction(f.ctx, async (tx) => {
    await ensureWindowHeld(tx, { ...input, now: f.now() });
    await meterProbe(tx, { ...slot, at: f.now() });
    await endSlot(tx, { ...slot, at: f.advance(20_000) });
  });
  return modelId;
}
