import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import {
  AdminPricingService,
  CreateGpuPriceRequestSchema,
  CreateServerlessPriceRequestSchema,
} from "../../gen/slipway/billing/v1/admin_pricing_service_pb.js";
import {
  AdminRefundService,
  RefundPaymentRequestSchema,
} from "../../gen/slipway/billing/v1/admin_refund_service_pb.js";
import {
  AutoTopUpService,
  SetAutoTopUpRequestSchema,
} from "../../gen/slipway/billing/v1/auto_top_up_service_pb.js";
import { ReceiptSchema, ReceiptService } from "../../gen/slipway/billing/v1/receipt_service_pb.js";
import { UsageService } from "../../gen/slipway/billing/v1/usage_service_pb.js";
import {
  CatalogService,
  PublishModelRequestSchema,
} from "../../gen/slipway/catalog/v1/catalog_service_pb.js";
import {
  AddUserBalanceRequestSchema,
  AdminBillingService,
} from "../../gen/tensormesh/billing/v1/admin_billing_service_pb.js";
import {
  BillingTransactionService,
  TransactionStatus,
  TransactionType,
} from "../../gen/tensormesh/billing/v1/billing_transaction_service_pb.js";
import {
  CreateStripePaymentIntentRequestSchema,
  StripeService,
} from "../../gen/tensormesh/billing/v1/stripe_service_pb.js";
import { UserBalanceService } from "../../gen/tensormesh/billing/v1/user_balance_service_pb.js";
import { CloudProvider } from "../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { GPUType } from "../../gen/tensormesh/common/v1/gpu_type_pb.js";
import { ModelService } from "../../gen/tensormesh/model/v1/model_service_pb.js";
import { ADMIN_TOKEN, cli, controlPlane, START, USER_ID } from "./testing/harness.ts";
import { MODEL_ID } from "./testing/models.ts";

const usd = (units: bigint, nanos = 0) => ({ currencyCode: "USD", units, nanos });
const at = timestampFromDate(START);

/** A control plane that knows the currency and keeps what it was asked. */
async function setup(
  t: Parameters<typeof cli>[0],
  routes: (router: ConnectRouter, asked: unknown[]) => void,
) {
  const asked: unknown[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(UserBalanceService, {
      getUserBalance: () => ({
        balance: usd(25n, 500_000_000),
        held: usd(0n, 25_000_000),
        available: usd(25n, 475_000_000),
        burnRateHourly: usd(0n, 100_000_000),
        tokenSpendHourly: usd(0n, 50_000_000),
        emptyAt: at,
        runwaySeconds: 917_100n,
        credit: {
          total: usd(7n),
          pots: [{ grantId: USER_ID, reason: "spring", left: usd(2n), expiresAt: at }, { left: usd(5n) }],
        },
      }),
    });
    routes(router, asked);
  });
  return { asked, slipway: await cli(t, { ...plane.env, SLIPWAY_TOKEN: ADMIN_TOKEN }) };
}

function same<D extends DescMessage>(schema: D, got: unknown, expected: MessageInitShape<D>): void {
  assert.deepEqual(got, create<DescMessage>(schema, expected));
}

test("balance tells what there is, what is held and how long it lasts", async (t) => {
  const { slipway } = await setup(t, () => {});
  const { stdout } = await slipway.run(["balance"]);
  assert.equal(
    stdout,
    [
      "balance            25.50 USD",
      "held               0.025 USD",
      "available          25.475 USD",
      "credit in it       7.00 USD",
      "                   2.00 USD expires 2026-03-01 10:00:00Z (spring)",
      "                   5.00 USD does not expire",
      "cost per hour      0.10 USD",
      "tokens, last hour  0.05 USD",
      "lasts              10 d 14 h",
      "empty at           2026-03-01 10:00:00Z",
      "",
    ].join("\n"),
  );
  const json = JSON.parse((await slipway.run(["balance", "--output", "json"])).stdout);
  assert.deepEqual(json.balance, { currencyCode: "USD", units: "25", nanos: 500_000_000 });
});

test("transactions are a table with exact amounts, narrowed by type and model", async (t) => {
  const { slipway, asked } = await setup(t, (router, calls) => {
    router.service(BillingTransactionService, {
      listBillingTransactions: ({ type, modelId }) => {
        calls.push([type, modelId]);
        const charge = {
          transactionId: "t1",
          createdAt: at,
          code: "charge.gpu",
          amount: { currencyCode: "USD", units: 0n, nanos: -1_234_567 },
        };
        return {
          transactions: [{ ...charge, status: TransactionStatus.SUCCEEDED, description: "15 min of tiny" }],
        };
      },
    });
  });
  const ran = await slipway.run(["transactions", "--type", "gpu_usage", "--model", MODEL_ID]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stdout, /2026-03-01 10:00:00Z +charge\.gpu +-0\.001234567 USD +15 min of tiny/);
  assert.deepEqual(asked, [[TransactionType.GPU_USAGE, MODEL_ID]]);
  const { stdout } = await slipway.run(["transactions", "--output", "csv"]);
  const [names, row, ...rest] = stdout.split("\r\n");
  assert.ok(names?.startsWith("transactionId,"), names);
  assert.match(row ?? "", /^t1,.*-0\.001234567,USD/);
  assert.deepEqual(rest, [""]);
  const noList = await slipway.run(["balance", "--output", "csv"]);
  assert.deepEqual([noList.status, noList.stdout], [2, ""]);
  assert.match(noList.stderr, /csv is for lists/);
  assert.equal((await slipway.run(["transactions", "--type", "gifts"])).status, 2);
});

test("one transaction is shown with its details, a line for each model", async (t) => {
  const model = { model: "tiny", requests: 3, charge: "0.0000042 USD" };
  const { slipway, asked } = await setup(t, (router, calls) =>
    router.service(BillingTransactionService, {
      getBillingTransaction: ({ transactionId, userId }) => {
        calls.push([transactionId, userId]);
        const amount = { currencyCode: "USD", units: 0n, nanos: -4_200 };
        const details = { month: "2026-03", models: [model, { ...model, model: "other" }] };
        return { transaction: { transactionId, code: "charge.tokens", createdAt: at, amount, details } };
      },
    }),
  );
  const ran = await slipway.run(["transactions", "get", "tokens-2026-03", "--user", USER_ID]);
  assert.match(ran.stdout, /^transaction +tokens-2026-03\n/);
  assert.match(ran.stdout, /amount +-0\.0000042 USD\n/);
  assert.match(
    ran.stdout,
    /month +2026-03\nmodels +model tiny, requests 3, charge 0\.0000042 USD\nmodels +model other,/,
  );
  assert.deepEqual(asked, [["tokens-2026-03", USER_ID]]);
});

test("receipts list what was counted, and one shows by which prices", async (t) => {
  const tokens = create(ReceiptSchema, {
    receiptId: "req-1",
    servedName: "tiny",
    createdAt: at,
    charge: usd(0n, 4_200),
    costSaving: usd(0n, 800),
    priceVersionId: "v1",
    usage: {
      case: "tokens",
      value: {
        promptTokens: 120n,
        cachedTokens: 96n,
        completionTokens: 48n,
        inputPricePerMillion: usd(0n, 100_000_000),
        cachedPricePerMillion: usd(0n),
        outputPricePerMillion: usd(0n, 400_000_000),
      },
    },
  });
  const gpu = create(ReceiptSchema, {
    receiptId: "w-1",
    createdAt: at,
    charge: usd(0n, 1_000_000),
    usage: {
      case: "gpu",
      value: { replica: "r", gpuCount: 2, gpuType: GPUType.GPU_TYPE_H100, chargedMs: 843_000n },
    },
  });
  const { slipway } = await setup(t, (router) =>
    router.service(ReceiptService, {
      listReceipts: () => ({ receipts: [tokens, gpu] }),
      getReceipt: () => ({ receipt: tokens }),
    }),
  );
  const list = await slipway.run(["receipts"]);
  assert.match(list.stdout, /120 \+ 48 tokens, 96 cached +0\.0000042 USD +0\.0000008 USD +req-1/);
  assert.match(list.stdout, /14 min 3 s of 2 x H100/);
  const one = await slipway.run(["receipts", "get", "req-1"]);
  assert.match(one.stdout, /per million +input 0\.10 USD, cached 0\.00 USD, output 0\.40 USD/);
});

test("spending is shown by period and by day, and to administrators of several users", async (t) => {
  const { slipway, asked } = await setup(t, (router, calls) => {
    router.service(BillingTransactionService, {
      getUserSpendingSummary: ({ userId }) => {
        calls.push(userId);
        return { spend24h: usd(0n, 4_200), spend7d: usd(3n), spend30d: usd(14n, 500_000_000) };
      },
      getUserSpendingHistory: () => ({
        buckets: [{ bucketStart: at, amount: usd(0n, 4_200), costSaving: usd(0n, 800) }],
      }),
    });
    router.service(AdminBillingService, {
      getUsersSpendingSummary: ({ targetUserIds }) => ({
        summaries: targetUserIds.map((userId) => ({ userId, spend24h: usd(1n), spend30d: usd(2n) })),
      }),
    });
  });
  const summary = await slipway.run(["spending", "--user", USER_ID]);
  assert.equal(
    summary.stdout,
    "last 24 hours  0.0000042 USD\nlast 7 days    3.00 USD\nlast 30 days   14.50 USD\n",
  );
  assert.deepEqual(asked, [USER_ID]);
  const history = await slipway.run(["spending", "history"]);
  assert.match(history.stdout, /2026-03-01 +0\.0000042 USD +0\.0000008 USD/);
  const json = JSON.parse((await slipway.run(["spending", "history", "--output", "json"])).stdout);
  assert.deepEqual(json.buckets[0].amount, { currencyCode: "USD", units: "0", nanos: 4_200 });
  const many = await slipway.run(["admin", "spending", USER_ID]);
  assert.match(many.stdout, new RegExp(`${USER_ID} +1\\.00 USD +- +2\\.00 USD`));
});

test("usage is shown by model with the total of all, and by day, for the days that are named", async (t) => {
  const usage = {
    ...{
      requests: 3n,
      promptTokens: 2_000n,
      cachedTokens: 1_001n,
      completionTokens: 48n,
      cacheHitRate: 0.5005,
    },
    ...{ amount: usd(0n, 4_200), costSaving: usd(0n, 800) },
  };
  const total = { ...usage, gpuTimeMs: 843_000n };
  const { slipway, asked } = await setup(t, (router, calls) => {
    router.service(UsageService, {
      listModelUsage: ({ startTime, endTime, modelId, pageToken }) => {
        calls.push(
          [startTime, endTime, modelId].map((one) =>
            typeof one === "object" ? timestampDate(one).toISOString() : one,
          ),
        );
        const range = { startTime: at, endTime: timestampFromDate(new Date("2026-04-01T00:00:00Z")), total };
        return pageToken === ""
          ? {
              ...range,
              models: [{ modelId: MODEL_ID, usage: { gpuTimeMs: 843_000n } }],
              nextPageToken: "more",
            }
          : { ...range, models: [{ modelId: MODEL_ID, servedName: "tiny", usage }] };
      },
      listUsageHistory: ({ startTime, endTime }) => ({
        rows: startTime || endTime ? [] : [{ bucketStart: at, servedName: "tiny", modelId: MODEL_ID, usage }],
      }),
    });
  });
  const ran = await slipway.run(["usage", "--month", "2026-03", "--model", MODEL_ID]);
  assert.match(ran.stdout, /^2026-03-01 to 2026-03-31 \(UTC\)\n/);
  assert.match(ran.stdout, /\(time\) +0 +0 +0 +- +0 +14 min 3 s +- +- +\S+\n/);
  assert.match(ran.stdout, /tiny +3 +2000 +1001 +50\.0 % +48 +- +0\.0000042 USD +0\.0000008 USD +\S+\n/);
  assert.match(ran.stdout, /total +3 +2000 +1001 +50\.0 % +48 +14 min 3 s +0\.0000042 USD +0\.0000008 USD\n/);
  const month = ["2026-03-01T00:00:00.000Z", "2026-04-01T00:00:00.000Z", MODEL_ID];
  assert.deepEqual(asked, [month, month]);
  const json = JSON.parse((await slipway.run(["usage", "--to", "2028-02-28", "--output", "json"])).stdout);
  assert.deepEqual([json.models.length, json.total.gpuTimeMs, json.nextPageToken], [2, "843000", ""]);
  assert.deepEqual(asked[2], [undefined, "2028-02-29T00:00:00.000Z", ""]);
  assert.match((await slipway.run(["usage", "history"])).stdout, /2026-03-01 +tiny +3 +2000/);
  const none = await slipway.run(["usage", "history", "--from", "2026-03-01", "--to", "2026-03-02"]);
  assert.equal(none.stdout, "Nothing was used.\n");
  const wrong = [
    ["--month", "2026-13"],
    ["--from", "2026-02-30"],
    ["--to", "now"],
    ["--month", "2026-03", "--to", "2026-03-02"],
  ];
  for (const options of wrong) {
    assert.equal((await slipway.run(["usage", ...options])).status, 2, options.join(" "));
  }
});

test("cards are listed, attached, chosen and removed, and a top-up never prints what confirms it", async (t) => {
  const changed: string[] = [];
  const { slipway, asked } = await setup(t, (router, calls) =>
    router.service(StripeService, {
      listStripePaymentMethods: () => ({
        paymentMethods: [
          {
            stripePaymentMethodId: "pm_1",
            brand: "visa",
            last4: "4242",
            expMonth: 4,
            expYear: 2030,
            isDefault: true,
          },
        ],
      }),
      attachStripePaymentMethod: (request) => {
        calls.push(request.stripePaymentMethodId);
        return {};
      },
      setDefaultStripePaymentMethod: (request) => {
        changed.push(`default ${request.stripePaymentMethodId}`);
        return {};
      },
      detachStripePaymentMethod: (request) => {
        changed.push(`detach ${request.stripePaymentMethodId}`);
        return {};
      },
      createStripePaymentIntent: (request) => {
        calls.push(request);
        return {
          stripePaymentIntentId: "pi_1",
          clientSecret: "pi_1_secret_canary",
          status: TransactionStatus.SUCCEEDED,
        };
      },
    }),
  );
  assert.match((await slipway.run(["cards", "list"])).stdout, /visa +…4242 +04\/2030 +default +pm_1/);
  assert.equal((await slipway.run(["cards", "add", "pm_card_visa"])).status, 0);
  assert.equal((await slipway.run(["cards", "default", "pm_2"])).status, 0);
  assert.equal((await slipway.run(["cards", "remove", "pm_1"])).stdout, "The card is removed.\n");
  assert.deepEqual(changed, ["default pm_2", "detach pm_1"]);
  const topUp = await slipway.run(["topup", "25.50"]);
  assert.match(topUp.stdout, /status +SUCCEEDED/);
  const json = await slipway.run(["topup", "25.50", "--output", "json"]);
  assert.ok(!(topUp.stdout + json.stdout).includes("canary"));
  assert.equal(asked[0], "pm_card_visa");
  same(CreateStripePaymentIntentRequestSchema, asked[1], { amount: usd(25n, 500_000_000) });
});

test("credit is granted to the last nano, in the installation's currency or the one that is named", async (t) => {
  const { slipway, asked } = await setup(t, (router, calls) =>
    router.service(AdminBillingService, {
      addUserBalance: (request) => {
        calls.push(request);
        return { balance: usd(30n) };
      },
    }),
  );
  const ran = await slipway.run(["admin", "credit", USER_ID, "4.123456789", "--note", "welcome"]);
  assert.equal(ran.stdout, "Granted 4.123456789 USD; the balance is 30.00 USD now.\n");
  await slipway.run(["admin", "credit", USER_ID, "5eur", "--expires", "2099-01-31T00:00:00Z"]);
  same(AddUserBalanceRequestSchema, asked[0], {
    targetUserId: USER_ID,
    amount: usd(4n, 123_456_789),
    description: "welcome",
  });
  same(AddUserBalanceRequestSchema, asked[1], {
    targetUserId: USER_ID,
    amount: { currencyCode: "EUR", units: 5n, nanos: 0 },
    expiresAt: timestampFromDate(new Date("2099-01-31T00:00:00Z")),
  });
  for (const amount of ["0.1234567891", "-5", "1e3", "5 dollars", ""]) {
    assert.equal((await slipway.run(["admin", "credit", USER_ID, "--", amount])).status, 2, amount);
  }
});

test("the automatic top-up is shown, switched on with its limits, and off", async (t) => {
  const { slipway, asked } = await setup(t, (router, calls) =>
    router.service(AutoTopUpService, {
      getAutoTopUp: () => ({
        autoTopUp: { failures: 3, reason: "CARD_DECLINED", message: "It is off now." },
      }),
      setAutoTopUp: (request) => {
        calls.push(request);
        const { enabled, threshold, amount } = request;
        return { autoTopUp: { enabled, ...(threshold && { threshold }), ...(amount && { amount }) } };
      },
    }),
  );
  const shown = await slipway.run(["auto-topup"]);
  assert.match(shown.stdout, /automatic top-up +off\nreason +CARD_DECLINED\nwhy +It is off now/);
  const on = ["auto-topup", "on", "--below", "10", "--amount", "25", "--day-max", "50", "--month-max", "200"];
  const { stdout } = await slipway.run(on);
  assert.match(stdout, /automatic top-up +on\nbelow +10\.00 USD\namount +25\.00 USD/);
  await slipway.run(["auto-topup", "off"]);
  same(SetAutoTopUpRequestSchema, asked[0], {
    enabled: true,
    threshold: usd(10n),
    amount: usd(25n),
    dayMax: usd(50n),
    monthMax: usd(200n),
  });
  same(SetAutoTopUpRequestSchema, asked[1], { enabled: false });
  assert.equal((await slipway.run(on.slice(0, -2))).status, 2);
});

test("a payment is refunded in part or in all that can be", async (t) => {
  const { slipway, asked } = await setup(t, (router, calls) =>
    router.service(AdminRefundService, {
      refundPayment: (request) => {
        calls.push(request);
        return { refund: { stripeRefundId: "re_1", userId: USER_ID, amount: usd(4n), status: 2 } };
      },
    }),
  );
  const ran = await slipway.run(["admin", "refund", "pi_1", "4", "--note", "asked for"]);
  assert.match(ran.stdout, /amount +4\.00 USD\nstatus +SUCCEEDED\nrefund +re_1/);
  await slipway.run(["admin", "refund", "pi_1"]);
  const request = { stripePaymentIntentId: "pi_1", amount: usd(4n), description: "asked for" };
  same(RefundPaymentRequestSchema, asked[0], request);
  same(RefundPaymentRequestSchema, asked[1], { stripePaymentIntentId: "pi_1" });
});

test("prices of GPUs and of tokens are set from now or from later on, and listed with their versions", async (t) => {
  const { slipway, asked } = await setup(t, (router, calls) =>
    router.service(AdminPricingService, {
      createGpuPrice: (request) => {
        calls.push(request);
        return {
          price: {
            cloudProvider: CloudProvider.ONPREM,
            hourlyRate: request.hourlyRate ?? usd(0n),
            priceVersionId: "v1",
            isActive: true,
          },
        };
      },
      createServerlessPrice: (request) => {
        calls.push(request);
        return { price: { model: request.servedName, priceVersionId: "v2" } };
      },
      listGpuPriceVersions: () => ({
        prices: [
          {
            cloudProvider: CloudProvider.LAMBDA,
            gpuType: GPUType.GPU_TYPE_A100,
            hourlyRate: usd(1n, 290_000_000),
            validFrom: at,
            priceVersionId: "v0",
          },
        ],
      }),
      listServerlessPriceVersions: () => ({ prices: [] }),
    }),
  );
  const cpu = await slipway.run(["admin", "prices", "gpu", "set", "0.10", "--region", "local"]);
  assert.match(cpu.stdout, /ONPREM +every +CPU +0\.10 USD +- +in force +v1/);
  await slipway.run([
    "admin",
    "prices",
    "gpu",
    "set",
    "2.49",
    "--provider",
    "lambda",
    "--gpu",
    "h100",
    "--from",
    "2026-04-01",
  ]);
  await slipway.run([
    "admin",
    "prices",
    "serverless",
    "set",
    "starter",
    "--input",
    "0.1",
    "--output-price",
    "0.4",
  ]);
  same(CreateGpuPriceRequestSchema, asked[0], {
    cloudProvider: CloudProvider.ONPREM,
    region: "local",
    hourlyRate: usd(0n, 100_000_000),
  });
  same(CreateGpuPriceRequestSchema, asked[1], {
    cloudProvider: CloudProvider.LAMBDA,
    gpuType: GPUType.GPU_TYPE_H100,
    hourlyRate: usd(2n, 490_000_000),
    validFrom: timestampFromDate(new Date("2026-04-01")),
  });
  same(CreateServerlessPriceRequestSchema, asked[2], {
    servedName: "starter",
    inputPricePerMillion: usd(0n, 100_000_000),
    cachedPricePerMillion: usd(0n),
    outputPricePerMillion: usd(0n, 400_000_000),
  });
  assert.match(
    (await slipway.run(["admin", "prices", "gpu", "list"])).stdout,
    /LAMBDA +every +A100 +1\.29 USD .* v0/,
  );
  assert.match((await slipway.run(["admin", "prices", "serverless", "list"])).stdout, /There are no prices/);
  assert.equal((await slipway.run(["admin", "prices", "serverless", "set", "starter"])).status, 2);
});

test("a model of anybody is published by its name, and the catalogue is listed for everybody", async (t) => {
  const entry = {
    servedName: "starter",
    available: true,
    inputPricePerMillion: usd(0n, 100_000_000),
    cachedPricePerMillion: usd(0n),
    outputPricePerMillion: usd(0n, 400_000_000),
  };
  const { slipway, asked } = await setup(t, (router, calls) => {
    router.service(ModelService, {
      listModels: ({ allUsers }) => ({ models: allUsers ? [{ modelId: MODEL_ID, modelName: "tiny" }] : [] }),
    });
    router.service(CatalogService, {
      publishModel: (request) => {
        calls.push(request);
        return { entry };
      },
      unpublishModel: ({ servedName }) => {
        calls.push(servedName);
        return {};
      },
      listCatalog: () => ({ entries: [entry] }),
    });
  });
  const published = await slipway.run([
    ...["admin", "catalog", "publish", "starter", "tiny", "--input", "0.1", "--output-price", "0.4"],
    ...["--owner-agreed", "--concurrency-max", "8"],
  ]);
  assert.equal(published.status, 0, published.stderr);
  same(PublishModelRequestSchema, asked[0], {
    servedName: "starter",
    modelId: MODEL_ID,
    inputPricePerMillion: usd(0n, 100_000_000),
    cachedPricePerMillion: usd(0n),
    outputPricePerMillion: usd(0n, 400_000_000),
    limits: { concurrencyMax: 8, outputTokensMax: 0 },
    ownerAgreed: true,
  });
  assert.match(
    (await slipway.run(["catalog", "list"])).stdout,
    /starter +yes +0\.10 USD +0\.00 USD +0\.40 USD/,
  );
  assert.equal((await slipway.run(["admin", "catalog", "unpublish", "starter"])).status, 0);
  assert.equal(asked[1], "starter");
});
