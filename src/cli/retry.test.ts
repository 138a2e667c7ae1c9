import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { BillingModelService } from "../../gen/tensormesh/billing/v1/billing_model_service_pb.js";
import { UserBalanceService } from "../../gen/tensormesh/billing/v1/user_balance_service_pb.js";
import { ModelSchema } from "../../gen/tensormesh/model/v1/model_pb.js";
import { AdminUserService } from "../../gen/tensormesh/user/v1/admin_user_service_pb.js";
import { StatusError, type StatusErrorInit } from "../base/status.ts";
import { ADMIN_TOKEN, cli, controlPlane, virtualClock } from "./testing/harness.ts";

const BUSY: StatusErrorInit = { code: "UNAVAILABLE", reason: "UNAVAILABLE", message: "Not now." };

/** A control plane whose calls fail `failures` times, and then succeed. */
async function flaky(t: Parameters<typeof cli>[0], failures: number, init: StatusErrorInit) {
  const keys: (string | null)[] = [];
  let left = failures;
  const attempt = <T>(answer: T, header: Headers): T => {
    keys.push(header.get("idempotency-key"));
    if (left-- > 0) throw new StatusError(init);
    return answer;
  };
  const plane = await controlPlane(t, (router) => {
    router.service(UserBalanceService, {
      getUserBalance: (_request, context) => attempt({}, context.requestHeader),
    });
    router.service(BillingModelService, {
      deployModel: (request, context) =>
        attempt({ model: create(ModelSchema, { modelName: request.modelName }) }, context.requestHeader),
    });
    router.service(AdminUserService, {
      changeUserRole: (_request, context) => attempt({}, context.requestHeader),
    });
  });
  return { keys, slipway: await cli(t, plane.env) };
}

test("a read is repeated until it succeeds, with growing pauses", async (t) => {
  const { slipway, keys } = await flaky(t, 3, BUSY);
  const clock = virtualClock();
  assert.equal((await slipway.run(["balance"], { clock })).status, 0);
  assert.equal(keys.length, 4);
  assert.deepEqual(clock.slept, [500, 1_000, 2_000]);
});

test("a server's Retry-After is honoured, and one that is too long is told instead of waited for", async (t) => {
  const patient = await flaky(t, 1, {
    ...BUSY,
    code: "RESOURCE_EXHAUSTED",
    reason: "RATE_LIMITED",
    retryAfterMs: 12_000,
  });
  const clock = virtualClock();
  assert.equal((await patient.slipway.run(["balance"], { clock })).status, 0);
  assert.deepEqual(clock.slept, [12_000]);
  const late = await flaky(t, 1, { ...BUSY, retryAfterMs: 120_000 });
  const ran = await late.slipway.run(["balance"]);
  assert.deepEqual([ran.status, late.keys.length], [7, 1]);
  assert.match(ran.stderr, /Try again in 120 s/);
});

test("a deploy is repeated under one key, so that it may be repeated at all", async (t) => {
  const { slipway, keys } = await flaky(t, 2, BUSY);
  const ran = await slipway.run(["models", "deploy", "builtin://tiny"]);
  assert.equal(ran.status, 0, ran.stderr);
  assert.equal(keys.length, 3);
  assert.match(keys[0] ?? "", /^[0-9a-f-]{36}$/);
  assert.deepEqual(new Set(keys).size, 1);
});

test("a first call under our key that still runs is waited for", async (t) => {
  const { slipway, keys } = await flaky(t, 1, {
    code: "ABORTED",
    reason: "IDEMPOTENCY_IN_PROGRESS",
    message: "It still runs.",
    retryAfterMs: 1_000,
  });
  assert.equal((await slipway.run(["models", "deploy", "builtin://tiny"])).status, 0);
  assert.equal(keys.length, 2);
});

test("a change without a key is never repeated", async (t) => {
  const { slipway, keys } = await flaky(t, 1, BUSY);
  const env = { SLIPWAY_TOKEN: ADMIN_TOKEN };
  const ran = await slipway.run(["admin", "users", "role", "11111111-1111-4111-8111-111111111111", "admin"], {
    env,
  });
  assert.deepEqual([ran.status, keys.length], [7, 1]);
});

test("what will not pass is not repeated", async (t) => {
  for (const init of [
    { code: "INVALID_ARGUMENT", reason: "INVALID_FIELD", message: "No." },
    { code: "RESOURCE_EXHAUSTED", reason: "BODY_TOO_LARGE", message: "Too large." },
    { code: "PERMISSION_DENIED", reason: "NOT_ALLOWED", message: "No." },
  ] as const) {
    const { slipway, keys } = await flaky(t, 5, init);
    assert.notEqual((await slipway.run(["balance"])).status, 0);
    assert.equal(keys.length, 1);
  }
});
