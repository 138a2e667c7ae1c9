import assert from "node:assert/strict";
import { test } from "node:test";
import { UserBalanceService } from "../../gen/tensormesh/billing/v1/user_balance_service_pb.js";
import { StatusError, type StatusErrorInit } from "../base/status.ts";
import { cli, controlPlane, virtualClock } from "./testing/harness.ts";

/** Each kind of refusal, and the exit status that a script sees. */
const REFUSALS: readonly [StatusErrorInit, number][] = [
  [{ code: "INVALID_ARGUMENT", reason: "INVALID_FIELD", message: "That is no name." }, 2],
  [{ code: "OUT_OF_RANGE", reason: "INVALID_FIELD", message: "That is too far." }, 2],
  [{ code: "UNAUTHENTICATED", reason: "TOKEN_EXPIRED", message: "The token has expired." }, 3],
  [{ code: "PERMISSION_DENIED", reason: "NOT_ALLOWED", message: "Not yours." }, 4],
  [{ code: "NOT_FOUND", reason: "MODEL_NOT_FOUND", message: "No such model." }, 5],
  [{ code: "FAILED_PRECONDITION", reason: "BALANCE_TOO_LOW", message: "Too little money." }, 6],
  [{ code: "ALREADY_EXISTS", reason: "MODEL_NAME_TAKEN", message: "You have one of that name." }, 6],
  [{ code: "UNAVAILABLE", reason: "UNAVAILABLE", message: "Not now." }, 7],
  [{ code: "RESOURCE_EXHAUSTED", reason: "RATE_LIMITED", message: "Too many calls." }, 7],
  [{ code: "ABORTED", reason: "MODEL_STATE", message: "Somebody else was faster." }, 7],
  [{ code: "DEADLINE_EXCEEDED", reason: "DEADLINE", message: "It took too long." }, 8],
  [{ code: "INTERNAL", reason: "INTERNAL", message: "Our fault." }, 1],
  [{ code: "UNIMPLEMENTED", reason: "NOT_IMPLEMENTED", message: "Not here." }, 1],
];

async function refusing(t: Parameters<typeof cli>[0], init: StatusErrorInit) {
  const plane = await controlPlane(t, (router) =>
    router.service(UserBalanceService, {
      getUserBalance: () => {
        throw new StatusError(init);
      },
    }),
  );
  return cli(t, plane.env);
}

test("each refusal has its exit status, and is told with its reason", async (t) => {
  for (const [init, status] of REFUSALS) {
    const slipway = await refusing(t, init);
    const ran = await slipway.run(["balance"]);
    assert.deepEqual([init.code, ran.status], [init.code, status]);
    assert.equal(ran.stdout, "");
    assert.ok(ran.stderr.startsWith("slipway: "), ran.stderr);
    if (init.reason !== "INTERNAL") assert.ok(ran.stderr.includes(init.message), ran.stderr);
    assert.match(ran.stderr, new RegExp(`reason +${init.reason}`));
    assert.match(ran.stderr, /request +[0-9a-f-]{36}/);
  }
});

test("a refusal is told with every violation, its facts and the next step", async (t) => {
  const slipway = await refusing(t, {
    code: "FAILED_PRECONDITION",
    reason: "BALANCE_TOO_LOW",
    message: "The balance does not cover the first window.",
    metadata: { needed: "0.25 USD", available: "0.10 USD" },
    violations: [
      { field: "gpu_count", description: "must be 0 or more" },
      { field: "model_name", description: "must not be empty" },
    ],
  });
  const { stderr } = await slipway.run(["balance"]);
  for (const part of [
    "slipway: The balance does not cover the first window.\n",
    "needed     0.25 USD",
    "field      gpu_count: must be 0 or more",
    "field      model_name: must not be empty",
    "next       Top up with `slipway topup <amount>`, or ask an administrator for credit.",
  ]) {
    assert.ok(stderr.includes(part), `${part} in:\n${stderr}`);
  }
});

test("with --output json a refusal is one JSON document on stderr", async (t) => {
  const slipway = await refusing(t, {
    code: "FAILED_PRECONDITION",
    reason: "CARD_MISSING",
    message: "There is no card.",
    metadata: { userId: "u" },
  });
  const ran = await slipway.run(["balance", "--output", "json"]);
  const { error } = JSON.parse(ran.stderr);
  assert.deepEqual(
    [ran.status, error.code, error.reason, error.message, error.metadata],
    [6, "FAILED_PRECONDITION", "CARD_MISSING", "There is no card.", { userId: "u" }],
  );
  assert.match(error.next, /slipway cards add/);
});

test("words of a refusal can't steer the terminal", async (t) => {
  const slipway = await refusing(t, {
    code: "NOT_FOUND",
    reason: "MODEL_NOT_FOUND",
    message: "No \u001b[2J\u009b31mmodel\r\n here.",
  });
  const { stderr } = await slipway.run(["balance"]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  assert.doesNotMatch(stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
});

test("a control plane that is not there is told as such, after some tries", async (t) => {
  const slipway = await cli(t, { SLIPWAY_TOKEN: "swt_any" });
  const clock = virtualClock();
  const ran = await slipway.run(["balance", "--api-url", "http://127.0.0.1:1"], { clock });
  assert.equal(ran.status, 7);
  assert.match(ran.stderr, /http:\/\/127\.0\.0\.1:1 can't be reached/);
  assert.match(ran.stderr, /slipway serve/);
  assert.deepEqual(clock.slept, [500, 1_000, 2_000, 4_000, 8_000]);
});

test("another server than a control plane is told as such", async (t) => {
  const { createServer } = await import("node:http");
  const server = createServer((_request, response) =>
    response.writeHead(404, { "content-type": "text/html" }).end("<html>"),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const slipway = await cli(t, { SLIPWAY_TOKEN: "swt_any", SLIPWAY_API_URL: `http://127.0.0.1:${port}` });
  const ran = await slipway.run(["balance"]);
  assert.equal(ran.status, 1);
  assert.match(ran.stderr, /did not come from a Slipway control plane/);
});

test("without a token nothing is asked, and the ways to one are told", async (t) => {
  const slipway = await cli(t);
  const none: typeof fetch = () => assert.fail("nothing may be asked");
  const ran = await slipway.run(["models", "list"], { fetch: none });
  assert.equal(ran.status, 3);
  assert.match(ran.stderr, /slipway login/);
});

test("wrong usage ends with 2 and says what is wrong", async (t) => {
  const slipway = await cli(t);
  for (const [args, words] of [
    [["modles"], /unknown command 'modles'/],
    [["models", "list", "--limit", "0"], /whole number/],
    [["models", "list", "--output", "yaml"], /Allowed choices are text, json/],
    [["models", "get"], /missing required argument/],
    [["balance", "--timeout", "-1"], /seconds/],
    [["balance", "--nonsense"], /unknown option/],
    [["admin", "credit", "u", "free"], /amount/],
  ] as const) {
    const ran = await slipway.run(args);
    assert.equal(ran.status, 2, args.join(" "));
    assert.match(ran.stderr, words);
    assert.equal(ran.stdout, "");
  }
  assert.equal((await slipway.run(["--help"])).status, 0);
  assert.equal((await slipway.run(["models", "deploy", "--help"])).status, 0);
});

test("an interrupt ends a command with 130", async (t) => {
  const hanging = await controlPlane(t, (router) =>
    router.service(UserBalanceService, { getUserBalance: () => new Promise(() => {}) }),
  );
  const slipway = await cli(t, hanging.env);
  const interrupt = new AbortController();
  const asked: typeof fetch = (input, init) => {
    setImmediate(() => interrupt.abort(new Error("SIGINT")));
    return fetch(input, init);
  };
  const ran = await slipway.run(["balance"], { interrupted: interrupt.signal, fetch: asked });
  assert.equal(ran.status, 130);
  assert.match(ran.stderr, /Interrupted/);
});

test("a call that gets no answer ends with --timeout and 8", async (t) => {
  const hanging = await controlPlane(t, (router) =>
    router.service(UserBalanceService, { getUserBalance: () => new Promise(() => {}) }),
  );
  const slipway = await cli(t, hanging.env);
  const ran = await slipway.run(["balance", "--timeout", "0.05"]);
  assert.equal(ran.status, 8);
  assert.match(ran.stderr, /--timeout/);
});
