/**
 * Every operation of the OpenAPI document, asked with what its schema allows and with what nobody should send.
 * SLIPWAY_FUZZ_RUNS=500 asks more of each; SLIPWAY_FUZZ_SEED=7 asks other things.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { must } from "../../../src/main/quickstart/wire.ts";
import { startHub } from "../../support/hub.ts";
import { deployRunning, type TestInstallation, testInstallation } from "../../support/installation.ts";
import { isError, OPERATIONS, type Operation } from "./operations.ts";
import { type FuzzRequest, type Known, requestsFor } from "./requests.ts";
import { type FuzzAnswer, send } from "./send.ts";

const RUNS = Number(process.env.SLIPWAY_FUZZ_RUNS ?? 40);
const SEED = Number(process.env.SLIPWAY_FUZZ_SEED ?? 1);
/** What an operation may answer: a success, or an error that its guide describes. */
const STATUSES = [200, 400, 401, 402, 403, 404, 405, 409, 412, 413, 415, 429];
/** Planted where a secret is expected; may come back nowhere. */
const HF_TOKEN = "hf_PlantedByTheFuzzer0123456789";
const NAMED = {
  hfToken: [HF_TOKEN],
  pageToken: [""],
  userEmail: [""],
  orderBy: ["", "createdAt desc"],
  currencyCode: ["USD"],
  units: ["1", "25"],
  nanos: [0],
  modelName: ["fuzzed", "another", "a third"],
  modelPath: ["builtin://tiny"],
  modelSpec: [null, { contextTokens: 256 }, { nothing: 1 }],
  infra: [null, { cloudProvider: "CLOUD_PROVIDER_ONPREM", onpremRegion: "local" }],
  gpuType: ["GPU_TYPE_UNSPECIFIED"],
  gpuCount: [0],
  nodeId: [""],
  apiKey: ["", "k".repeat(40)],
  paymentMethodId: ["pm_card_visa", "pm_card_chargeDeclined"],
  scopes: [[], ["catalog"]],
} as const;
/** Operations that would take away what the others are asked with. */
const ON_USERS = /ChangeUserRole|DisableUser|EnableUser/;

test("no request, however odd, gets a 5xx, an undocumented status or an answer that breaks its schema, and no secret comes out", async (t) => {
  const hub = await startHub(t);
  const on = await testInstallation(t, {
    HF_ENDPOINT: hub.endpoint,
    SLIPWAY_TOKEN_REQUESTS_PER_MINUTE: "1000000",
    SLIPWAY_ADDRESS_REQUESTS_PER_MINUTE: "1000000",
  });
  const { known, other } = await prepare(on);
  const { adminToken, userToken } = on.people;
  const authorizations = [
    "",
    "Bearer wrong",
    `Basic ${userToken}`,
    ...[adminToken, adminToken, adminToken, userToken, userToken, userToken].map((one) => `Bearer ${one}`),
  ];
  const secrets = [adminToken, userToken, HF_TOKEN];
  // What deletes comes last, so that the others find what they ask for.
  const operations = OPERATIONS.toSorted(
    (a, b) => Number(a.method === "DELETE") - Number(b.method === "DELETE"),
  );
  for (const operation of operations) {
    await t.test(`${operation.method} ${operation.path}`, async () => {
      const ids = ON_USERS.test(operation.id) ? [other] : known.ids;
      const requests = requestsFor(operation, { ...known, ids }, authorizations);
      await fc.assert(
        fc.asyncProperty(requests, async (request) => {
          const answer = await send(new URL(on.apiUrl()), request);
          check(operation, request, answer, secrets);
        }),
        { numRuns: RUNS, seed: SEED, endOnFailure: true },
      );
    });
  }
  await t.test("forged page tokens of every list", async () => {
    let lists = 0;
    for (const operation of operations.filter(isPaged)) lists += await forgeTokens(on, operation, secrets);
    assert.ok(lists >= 5, `${lists} lists had a next page`);
  });
  const said = on.program().output();
  for (const secret of secrets) assert.ok(!said.includes(secret), "a secret is in the log");
  assert.ok(!said.includes('"level":60'), "nothing was fatal");
});

/** A model that runs, a user whom nobody needs, and the values that exist. */
async function prepare(on: TestInstallation): Promise<{ known: Known; other: string }> {
  const model = await deployRunning(on, "fuzzed");
  const { adminToken, userId } = on.people;
  const body = { displayName: "Other" };
  const made = await on.wire({ method: "POST", path: "/v1/admin/users", token: adminToken, body });
  const other = must(made, "user", "id");
  const ids = [must(model, "modelId"), userId, other, "00000000-0000-4000-8000-000000000000"];
  const strings = ["USD", "local", "builtin://tiny", "org/tiny", "fuzzed", "inference"];
  return { known: { ids, strings, named: NAMED }, other };
}

function check(
  operation: Operation,
  request: FuzzRequest,
  answer: FuzzAnswer,
  secrets: readonly string[],
): void {
  const told = () =>
    `${answer.status} ${answer.text.slice(0, 600)} to ${request.target.slice(0, 300)} ${request.body?.toString("utf8").slice(0, 600) ?? ""} ${JSON.stringify({ ...request.headers, authorization: undefined })}`;
  // As a gRPC gateway answers a wrong verb: what was filled in can name another operation's path.
  const isWrongVerb = answer.status === 501 && answer.text.includes('"WRONG_METHOD"');
  assert.ok(isWrongVerb || STATUSES.includes(answer.status), told());
  for (const secret of secrets)
    assert.ok(!answer.text.includes(secret), `a secret came back: ${operation.id}`);
  assert.ok(!answer.text.includes("    at "), `a stack trace: ${told()}`);
  if (answer.status === 200 && (operation.streams || answer.type.startsWith("text/csv"))) return;
  const body: unknown = JSON.parse(answer.text);
  const matches = answer.status === 200 ? operation.success : isError;
  // A path that the filled-in values made another operation's has another schema.
  const isOther = request.target.split("?")[0]?.split("/").length !== operation.path.split("/").length;
  if (answer.status === 200 && isOther) return;
  assert.ok(matches(body), `${JSON.stringify(matches.errors?.slice(0, 3))} ${told()}`);
}

const FORGED = [
  "",
  "x",
  "\u0000",
  "-271821-04-20T00:00:00.000Z",
  "+275760-09-13T00:00:00.000Z",
  "9".repeat(400),
];

function isPaged({ method, parameters, path }: Operation): boolean {
  return method === "GET" && !path.includes("{") && parameters.some(({ name }) => name === "pageToken");
}

/** Takes a list's own token apart and puts each part in another's place; 0 when the list has no next page. */
async function forgeTokens(
  on: TestInstallation,
  operation: Operation,
  secrets: readonly string[],
): Promise<number> {
  const ask = async (query: string) => {
    const target = `${operation.path}?pageSize=1${query}`;
    const headers = { accept: "application/json", authorization: `Bearer ${on.people.adminToken}` };
    const request = { method: "GET", target, headers, body: undefined };
    const answer = await send(new URL(on.apiUrl()), request);
    check(operation, request, answer, secrets);
    return answer;
  };
  const { nextPageToken } = JSON.parse((await ask("")).text) as { nextPageToken?: string };
  if (!nextPageToken) return 0;
  const [query, ...cursor] = JSON.parse(Buffer.from(nextPageToken, "base64url").toString("utf8")) as string[];
  for (let at = 0; at <= cursor.length; at++) {
    for (const value of FORGED) {
      const forged = [query, ...cursor.with(Math.min(at, cursor.length - 1), value).slice(0, at + 1)];
      await ask(`&pageToken=${Buffer.from(JSON.stringify(forged)).toString("base64url")}`);
      const whole = [query, ...cursor.map((part, index) => (index === at ? value : part))];
      await ask(`&pageToken=${Buffer.from(JSON.stringify(whole)).toString("base64url")}`);
    }
  }
  return 1;
}
