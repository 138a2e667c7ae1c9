import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  BudgetKind,
  BudgetLimitSchema,
  BudgetPeriod,
  BudgetService,
  ListBudgetsRequestSchema,
  RemoveBudgetRequestSchema,
  SetBudgetRequestSchema,
} from "../../gen/slipway/billing/v1/budget_service_pb.js";
import { UserBalanceService } from "../../gen/tensormesh/billing/v1/user_balance_service_pb.js";
import { UserService } from "../../gen/tensormesh/user/v1/user_service_pb.js";
import { cli, controlPlane, START, USER_ID } from "./testing/harness.ts";
import { MODEL_ID } from "./testing/models.ts";

const usd = (units: bigint, nanos = 0) => ({ currencyCode: "USD", units, nanos });
const ID = "33333333-3333-4333-8333-333333333333";

test("a key is made with its budgets", async (t) => {
  const asked: unknown[] = [];
  const plane = await controlPlane(t, (router) => {
    router.service(UserBalanceService, { getUserBalance: () => ({ balance: usd(1n) }) });
    router.service(UserService, {
      createUserApiKey: ({ budgets }) => {
        asked.push(...budgets);
        return { apiKey: { id: ID, secret: "sk-new" } };
      },
    });
  });
  const slipway = await cli(t, plane.env);
  const made = ["keys", "create", "--day-budget", "5", "--total-budget", "0.25"];
  assert.match((await slipway.run(made)).stdout, /sk-new/);
  assert.deepEqual(asked, [
    create(BudgetLimitSchema, { period: BudgetPeriod.DAY, limit: usd(5n) }),
    create(BudgetLimitSchema, { period: BudgetPeriod.TOTAL, limit: usd(0n, 250_000_000) }),
  ]);
});

test("budgets are set on a key, a model or a catalogue's name, shown with what is left, and removed", async (t) => {
  const asked: unknown[] = [];
  const noted = <T extends object>(request: T) => asked.push(request);
  const budget = (of: object) => ({
    ...{ budgetId: ID, userId: USER_ID, period: BudgetPeriod.MONTH, limit: usd(25n), spent: usd(3n) },
    ...{ reserved: usd(0n, 500_000_000), left: usd(21n, 500_000_000), resetsAt: timestampFromDate(START) },
    ...of,
  });
  const plane = await controlPlane(t, (router) => {
    router.service(UserBalanceService, { getUserBalance: () => ({ balance: usd(1n) }) });
    router.service(BudgetService, {
      listBudgets: (request) => {
        noted(request);
        const named = { kind: BudgetKind.CATALOG, subject: "vendor/tiny" };
        return request.userId ? { budgets: [budget(named)] } : {};
      },
      setBudget: (request) => {
        noted(request);
        return { budget: budget({ kind: request.kind, subject: request.subject }) };
      },
      removeBudget: (request) => {
        noted(request);
        return {};
      },
    });
  });
  const slipway = await cli(t, plane.env);
  const set = await slipway.run(["budgets", "set", "25", "--per", "month", "--key", ID]);
  assert.match(
    set.stdout,
    /budget +month of key 3333.*\nlimit +25\.00 USD\nspent +3\.00 USD\nreserved +0\.50 USD/,
  );
  assert.match(set.stdout, /left +21\.50 USD\nresets +2026-03-01 10:00:00Z\nid +3333/);
  await slipway.run(["budgets", "set", "0.5 EUR", "--per", "day", "--model", MODEL_ID]);
  assert.match(
    (await slipway.run(["budgets"])).stdout,
    /There are no budgets\. Set one: slipway budgets set/,
  );
  const listed = await slipway.run(["budgets", "list", "--user", USER_ID, "--catalog", "vendor/tiny"]);
  assert.match(listed.stdout, /catalog vendor\/tiny +month +25\.00 USD +3\.00 USD +0\.50 USD +21\.50 USD/);
  assert.match((await slipway.run(["budgets", "remove", ID])).stdout, /is removed/);
  const key = { kind: BudgetKind.KEY, subject: ID };
  const model = { kind: BudgetKind.MODEL, subject: MODEL_ID };
  const name = { kind: BudgetKind.CATALOG, subject: "vendor/tiny" };
  const half = { currencyCode: "EUR", units: 0n, nanos: 500_000_000 };
  assert.deepEqual(asked, [
    create(SetBudgetRequestSchema, { ...key, period: BudgetPeriod.MONTH, limit: usd(25n) }),
    create(SetBudgetRequestSchema, { ...model, period: BudgetPeriod.DAY, limit: half }),
    create(ListBudgetsRequestSchema, {}),
    create(ListBudgetsRequestSchema, { userId: USER_ID, ...name }),
    create(RemoveBudgetRequestSchema, { budgetId: ID }),
  ]);
  const ofNothing = await slipway.run(["budgets", "set", "25", "--per", "day"]);
  assert.match(ofNothing.stderr, /give --key, --model or --catalog/);
  for (const wrong of [
    ["budgets", "set", "25", "--key", ID],
    ["budgets", "set", "25", "--per", "year", "--key", ID],
    ["budgets", "set", "0.1234567891", "--per", "day", "--key", ID],
    ["budgets", "set", "1", "--per", "day", "--key", ID, "--model", MODEL_ID],
  ])
    assert.equal((await slipway.run(wrong)).status, 2, wrong.join(" "));
});
