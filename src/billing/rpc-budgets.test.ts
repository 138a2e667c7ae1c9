/** Budgets over the wire: set on what is one's own, shown as they stand, refused with the field and the rule. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { type Person, people, restEdge } from "../../test/support/rest-edge.ts";
import { createApiKey, deleteApiKey, identityRoutes, listApiKeys } from "../identity/index.ts";
import * as edge from "../rpc/index.ts";
import {
  type BudgetedThings,
  billingRoutes,
  configureBilling,
  grantCredit,
  leaseSlice,
  setKeyBudgets,
} from "./index.ts";

const BUDGETS = "/v1/billing/budgets";
const MODEL = "11111111-1111-4111-8111-111111111111";
const KEY = { kind: "BUDGET_KIND_KEY" };
const NAME = { kind: "BUDGET_KIND_CATALOG" };
const usd = (units: string, nanos = 0) => ({ currencyCode: "USD", units, nanos });

async function setup(t: Cleanup) {
  const { ctx, person } = await people(t, new Date("2028-02-29T10:00:00Z"));
  await configureBilling(ctx, { currency: "USD", payments: "off" });
  const [ada, eve, root] = [await person("Ada"), await person("Eve"), await person("Root", "ADMIN")];
  const budgeted: BudgetedThings = {
    isModelOf: async (_ctx, { userId, modelId }) => userId === ada.id && modelId === MODEL,
    isPublished: async (_ctx, name) => name === "vendor/tiny",
  };
  const { call } = restEdge(t, ctx, [
    billingRoutes({ db: ctx.db, edge, payments: undefined, budgeted }),
    identityRoutes({ db: ctx.db, edge, setKeyBudgets }),
  ]);
  const amount = { currency: "USD", nanos: 10n ** 12n };
  await grantCredit(ctx, { operatorId: root.id, userId: ada.id, amount, reason: "t", key: "k" });
  const keyOf = async (who: Person) =>
    (await createApiKey(ctx, { userId: who.id, name: "", scopes: [], expiresAt: null })).apiKey.id;
  return { ctx, call, ada, eve, root, key: await keyOf(ada), keyOfEve: await keyOf(eve) };
}

test("a budget is set, shown with what is reserved and when it resets, changed, listed and removed", async (t) => {
  const { ctx, call, ada, eve, root, key } = await setup(t);
  const wanted = { ...KEY, subject: key.toUpperCase(), period: "BUDGET_PERIOD_MONTH", limit: usd("2", 1) };
  const { status, body } = await call(ada, "PUT", BUDGETS, wanted);
  assert.equal(status, 200, JSON.stringify(body));
  const { budget } = body as { budget: Record<string, unknown> };
  assert.deepEqual(
    [budget.subject, budget.userId, budget.limit, budget.left, budget.startsAt, budget.resetsAt],
    [key, ada.id, usd("2", 1), usd("2", 1), "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"],
  );
  const wantNanos = 500_000_000n;
  const purpose = { keyId: key, modelId: null, servedName: null };
  const leased = { gatewayId: "g", userId: ada.id, wantNanos, currency: "USD", now: ctx.clock.now() };
  await leaseSlice(ctx, { ...leased, purpose });
  const total = { kind: "BUDGET_KIND_MODEL", subject: MODEL, period: "BUDGET_PERIOD_TOTAL", limit: usd("3") };
  const ofModel = (await call(ada, "PUT", BUDGETS, total)).body as { budget: Record<string, unknown> };
  assert.deepEqual([ofModel.budget.startsAt, ofModel.budget.resetsAt], [null, null]);
  const named = { ...NAME, subject: "vendor/tiny", period: "BUDGET_PERIOD_DAY", limit: usd("1") };
  const byAdmin = await call(root, "PUT", BUDGETS, { ...named, userId: ada.id });
  assert.equal(byAdmin.status, 200, JSON.stringify(byAdmin.body));
  const listed = async (query = "", who = ada) => {
    const answer = await call(who, "GET", `${BUDGETS}${query}`);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body.budgets as unknown as readonly Record<string, unknown>[];
  };
  assert.deepEqual(
    (await listed()).map((one) => one.period),
    ["BUDGET_PERIOD_DAY", "BUDGET_PERIOD_MONTH", "BUDGET_PERIOD_TOTAL"],
  );
  const [ofKey] = await listed(`?kind=BUDGET_KIND_KEY&subject=${key}`);
  assert.deepEqual([ofKey?.reserved, ofKey?.left], [usd("0", 500_000_000), usd("1", 500_000_001)]);
  assert.equal((await listed("?kind=BUDGET_KIND_CATALOG")).length, 1);
  assert.deepEqual(await listed("", eve), []);
  const lowered = await call(ada, "PUT", BUDGETS, { ...wanted, limit: usd("0", 1) });
  const { budget: low } = lowered.body as { budget: Record<string, unknown> };
  assert.deepEqual([low.budgetId, low.left], [budget.budgetId, usd("0")]);
  const own = `${BUDGETS}/${String(budget.budgetId)}`;
  assert.equal((await call(eve, "DELETE", own)).status, 404);
  for (let i = 0; i < 2; i++) assert.equal((await call(ada, "DELETE", own)).status, 200);
  assert.equal((await listed()).length, 2);
  const principal = { userId: ada.id, role: "USER", tokenId: "t", scopes: [] } as const;
  assert.equal((await call(ada, "PUT", BUDGETS, wanted)).status, 200);
  await deleteApiKey(ctx, { principal, keyId: key });
  assert.equal((await listed()).length, 2, "a deleted key's budget is gone with it");
});

test("a key is made with its budgets or not at all", async (t) => {
  const { ctx, call, ada } = await setup(t);
  const make = (...budgets: object[]) => call(ada, "POST", "/v1/users/api-keys", { budgets });
  const day = { period: "BUDGET_PERIOD_DAY", limit: usd("1") };
  const made = await make(day, { ...day, period: "BUDGET_PERIOD_TOTAL" });
  assert.equal(made.status, 200, JSON.stringify(made.body));
  const { budgets } = (await call(ada, "GET", BUDGETS)).body as unknown as { budgets: { subject: string }[] };
  assert.deepEqual(
    budgets.map(({ subject }) => subject),
    [made.body.apiKey?.id, made.body.apiKey?.id],
  );
  const before = (await listApiKeys(ctx, { userId: ada.id, includeDeleted: true })).length;
  assert.equal((await make(day, day)).reason, "INVALID_FIELD", "one of each period");
  assert.equal((await make({ ...day, limit: usd("0") })).reason, "INVALID_FIELD");
  const huge = await make(day, { period: "BUDGET_PERIOD_MONTH", limit: usd("1000000001") });
  assert.equal(huge.reason, "AMOUNT_INVALID");
  assert.match(JSON.stringify(huge.body), /budgets\[1\]\.limit/);
  assert.equal((await listApiKeys(ctx, { userId: ada.id, includeDeleted: true })).length, before);
});

test("what is no budget is refused with the field and the rule, and another's key is not there", async (t) => {
  const { call, ada, root, eve, key, keyOfEve } = await setup(t);
  const day = { ...KEY, subject: key, period: "BUDGET_PERIOD_DAY" };
  const rows: readonly [object, number, string][] = [
    [{ ...day, limit: usd("-1") }, 400, "INVALID_FIELD"],
    [{ ...day, limit: usd("0") }, 400, "INVALID_FIELD"],
    [{ ...day, limit: usd("1", -1) }, 400, "INVALID_FIELD"],
    [{ ...day, limit: usd("1", 1_000_000_000) }, 400, "INVALID_FIELD"],
    [{ ...day, limit: usd("1000000001") }, 400, "AMOUNT_INVALID"],
    [{ ...day, limit: usd("9223372036854775807") }, 400, "AMOUNT_INVALID"],
    [{ ...day, limit: { currencyCode: "EUR", units: "1" } }, 400, "CURRENCY_MISMATCH"],
    [{ ...day, limit: { currencyCode: "", units: "1" } }, 400, "INVALID_FIELD"],
    [{ ...day, limit: { currencyCode: "USD", units: "1.5" } }, 400, "INVALID_FIELD"],
    [day, 400, "INVALID_FIELD"],
    [{ ...KEY, subject: key, limit: usd("1") }, 400, "INVALID_FIELD"],
    [{ ...day, period: "BUDGET_PERIOD_YEAR", limit: usd("1") }, 400, "ENUM_UNKNOWN"],
    [{ ...day, kind: "BUDGET_KIND_UNSPECIFIED", limit: usd("1") }, 400, "INVALID_FIELD"],
    [{ ...day, subject: "", limit: usd("1") }, 400, "INVALID_FIELD"],
    [{ ...day, subject: "no-id", limit: usd("1") }, 400, "UUID_MALFORMED"],
    [{ ...day, subject: keyOfEve, limit: usd("1") }, 404, "KEY_NOT_FOUND"],
    [{ ...day, userId: eve.id, limit: usd("1") }, 403, "NOT_ALLOWED"],
    [{ ...day, kind: "BUDGET_KIND_MODEL", limit: usd("1") }, 404, "MODEL_NOT_FOUND"],
    [{ ...day, ...NAME, subject: "vendor/tyni", limit: usd("1") }, 404, "MODEL_NOT_FOUND"],
  ];
  for (const [request, status, reason] of rows) {
    const answer = await call(ada, "PUT", BUDGETS, request);
    assert.deepEqual(
      [answer.status, answer.reason],
      [status, reason],
      JSON.stringify([request, answer.body]),
    );
  }
  const ofAnother = await call(root, "PUT", BUDGETS, { ...day, userId: eve.id, limit: usd("1") });
  assert.equal(ofAnother.reason, "KEY_NOT_FOUND", "an administrator, too, sets it for whose key it is");
});
