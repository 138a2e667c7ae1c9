import assert from "node:assert/strict";
import { test } from "node:test";
import { at, type Json, list, must, text } from "../../src/main/quickstart/wire.ts";
import { testInstallation, tinyModel } from "../support/installation.ts";

const OTHER_USER = "00000000-0000-4000-8000-000000000000";
const ONPREM = "CLOUD_PROVIDER_ONPREM";
const LOCAL = { cloudProvider: ONPREM, onpremRegion: "local" };
const BODY_LIMIT_TRIAL_BYTES = 8 * 2 ** 20;

interface Answer {
  readonly status: number;
  readonly body: Json;
}

/** Each deploy that must be refused: what is wrong with it, the HTTP status, the reason, and the field where it has one. */
const REFUSED: readonly {
  readonly what: string;
  readonly body: Json;
  readonly status: number;
  readonly reason: string;
  readonly field?: string;
}[] = [
  {
    what: "another user's userId",
    body: tinyModel("a", { userId: OTHER_USER }),
    status: 403,
    reason: "NOT_ALLOWED",
  },
  {
    what: "a malformed UUID",
    body: tinyModel("a", { userId: "not-a-uuid" }),
    status: 400,
    reason: "UUID_MALFORMED",
    field: "user_id",
  },
  {
    what: "an empty modelName",
    body: tinyModel(""),
    status: 400,
    reason: "MODEL_NAME_INVALID",
    field: "model_name",
  },
  {
    what: "an unknown enum name",
    body: tinyModel("a", { gpuType: "GPU_TYPE_ABACUS" }),
    status: 400,
    reason: "ENUM_UNKNOWN",
    field: "gpu_type",
  },
  {
    what: "a region of another provider",
    body: tinyModel("a", { infra: { cloudProvider: ONPREM, lambdaRegion: "LAMBDA_REGION_US_EAST_1" } }),
    status: 400,
    reason: "REGION_CONFLICT",
  },
  {
    what: "two regions",
    body: tinyModel("a", { infra: { ...LOCAL, lambdaRegion: "LAMBDA_REGION_US_EAST_1" } }),
    status: 400,
    reason: "REGION_CONFLICT",
  },
  {
    what: "a negative GPU count",
    body: tinyModel("a", { gpuCount: -1 }),
    status: 400,
    reason: "GPU_COUNT_INVALID",
    field: "gpu_count",
  },
  {
    what: "a GPU type without a count",
    body: tinyModel("a", { gpuType: "GPU_TYPE_H100" }),
    status: 400,
    reason: "GPU_COUNT_INVALID",
  },
  {
    what: "GPUs of a type that the place does not have",
    body: tinyModel("a", { gpuType: "GPU_TYPE_H100", gpuCount: 8 }),
    status: 400,
    reason: "GPU_TYPE_UNAVAILABLE",
  },
  {
    what: "an unknown modelSpec key",
    body: tinyModel("a", { modelSpec: { contextTokns: 512 } }),
    status: 400,
    reason: "SPEC_KEY_UNKNOWN",
  },
  {
    what: "a region that nobody configured",
    body: tinyModel("a", { infra: { cloudProvider: ONPREM, onpremRegion: "atlantis" } }),
    status: 400,
    reason: "PLACE_UNKNOWN",
  },
  {
    what: "a file outside the allowed folders",
    body: tinyModel("a", { modelPath: "file:///etc/passwd" }),
    status: 403,
    reason: "WEIGHTS_PATH_REFUSED",
  },
];

test("each wrong deploy is refused with its own reason, and nothing of it stays", async (t) => {
  const on = await testInstallation(t);
  const call = async (path: string, init: RequestInit): Promise<Answer> => {
    const answer = await fetch(new URL(path, on.apiUrl()), init);
    return { status: answer.status, body: (await answer.json()) as Json };
  };
  const headers = { authorization: `Bearer ${on.people.userToken}`, "content-type": "application/json" };
  const post = (body: Json) => call("/v1/models", { method: "POST", headers, body: JSON.stringify(body) });
  const reasonOf = (answer: Answer) =>
    text(
      at(
        list(at(answer.body, "details")).find((one) => text(at(one, "@type")).endsWith("ErrorInfo")) ?? null,
        "reason",
      ),
    );
  const fieldsOf = (answer: Answer) =>
    list(at(answer.body, "details"))
      .flatMap((one) => list(at(one, "fieldViolations")))
      .map((one) => text(at(one, "field")));

  for (const wrong of REFUSED) {
    await t.test(wrong.what, async () => {
      const answer = await post(wrong.body);
      assert.equal(answer.status, wrong.status, JSON.stringify(answer.body));
      assert.equal(reasonOf(answer), wrong.reason, JSON.stringify(answer.body));
      assert.ok(text(at(answer.body, "message")).length > 10, "a sentence for people");
      if (wrong.field)
        assert.ok(fieldsOf(answer).includes(wrong.field), `${fieldsOf(answer)} names ${wrong.field}`);
    });
  }

  await t.test("all violations come at once", async () => {
    const answer = await post(tinyModel("", { userId: "nope", gpuCount: -3, apiKey: "short" }));
    const fields = fieldsOf(answer);
    for (const field of ["model_name", "user_id", "gpu_count", "api_key"])
      assert.ok(fields.includes(field), field);
  });

  const edges: readonly { what: string; path: string; init: RequestInit; status: number; reason: string }[] =
    [
      { what: "no token", path: "/v1/models", init: { method: "GET" }, status: 401, reason: "TOKEN_MISSING" },
      {
        what: "a wrong token",
        path: "/v1/models",
        init: { method: "GET", headers: { authorization: "Bearer swt_wrong" } },
        status: 401,
        reason: "TOKEN_INVALID",
      },
      {
        what: "malformed JSON",
        path: "/v1/models",
        init: { method: "POST", headers, body: '{"modelName": ' },
        status: 400,
        reason: "MALFORMED_JSON",
      },
      {
        what: "a body that is too large",
        path: "/v1/models",
        init: {
          method: "POST",
          headers,
          body: JSON.stringify({ description: "x".repeat(BODY_LIMIT_TRIAL_BYTES) }),
        },
        status: 413,
        reason: "BODY_TOO_LARGE",
      },
      {
        what: "a wrong content type",
        path: "/v1/models",
        init: { method: "POST", headers: { ...headers, "content-type": "text/plain" }, body: "hello" },
        status: 415,
        reason: "UNSUPPORTED_CONTENT_TYPE",
      },
      {
        what: "a wrong verb",
        path: "/v1/models",
        init: { method: "PUT", headers, body: "{}" },
        status: 501,
        reason: "WRONG_METHOD",
      },
      {
        what: "an unknown path",
        path: "/v1/modles",
        init: { method: "GET", headers },
        status: 404,
        reason: "UNKNOWN_PATH",
      },
      {
        what: "a model that does not exist",
        path: `/v1/models/${OTHER_USER}`,
        init: { method: "GET", headers },
        status: 404,
        reason: "MODEL_NOT_FOUND",
      },
    ];
  for (const edge of edges) {
    await t.test(edge.what, async () => {
      const answer = await call(edge.path, edge.init);
      assert.equal(answer.status, edge.status, JSON.stringify(answer.body));
      assert.equal(reasonOf(answer), edge.reason);
    });
  }

  await t.test("nothing of the refused deploys stays", async () => {
    const models = await on.wire({ method: "GET", path: "/v1/models", token: on.people.userToken });
    assert.deepEqual(list(at(models, "models")), []);
    const balance = await on.wire({ method: "GET", path: "/v1/billing/balance", token: on.people.userToken });
    assert.deepEqual(at(balance, "held"), { currencyCode: "USD", units: "0", nanos: 0 });
  });

  await t.test("a taken modelName is told apart from an empty one", async () => {
    const first = await post(tinyModel("taken"));
    assert.equal(first.status, 200, JSON.stringify(first.body));
    const again = await post(tinyModel("taken"));
    assert.equal(again.status, 409);
    assert.equal(reasonOf(again), "MODEL_NAME_TAKEN");
  });

  await t.test("too little money, no card, an expired card: each its own reason", async () => {
    const admin = on.people.adminToken;
    const user = await on.wire({
      method: "POST",
      path: "/v1/admin/users",
      token: admin,
      body: { displayName: "Poor" },
    });
    const userId = must(user, "user", "id");
    const access = await on.wire({
      method: "POST",
      path: "/v1/admin/access-tokens",
      token: admin,
      body: { userId, name: "t" },
    });
    const token = must(access, "secret");
    const deploy = async () => {
      const answer = await call("/v1/models", {
        method: "POST",
        headers: { ...headers, authorization: `Bearer ${token}` },
        body: JSON.stringify(tinyModel("p")),
      });
      return { status: answer.status, reason: reasonOf(answer) };
    };
    const attach = (id: string) =>
      on.wire({
        method: "POST",
        path: "/v1/billing/stripe/customers/payment-methods",
        token,
        body: { stripePaymentMethodId: id },
      });
    assert.equal((await deploy()).reason, "BALANCE_TOO_LOW");
    await on.wire({
      method: "POST",
      path: "/v1/admin/billing/balances:add",
      token: admin,
      body: { targetUserId: userId, amount: { currencyCode: "USD", units: "5", nanos: 0 } },
    });
    assert.equal((await deploy()).reason, "CARD_MISSING");
    await attach("pm_card_slipwayExpired");
    assert.equal((await deploy()).reason, "CARD_EXPIRED");
    await attach("pm_card_visa");
    assert.equal((await deploy()).status, 200);
  });
});
