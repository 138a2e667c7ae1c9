/** The command line against a whole installation: what the guide promises, with real money, a real engine and real refusals. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { type Cli, cli, type Ran } from "../../src/cli/testing/harness.ts";
import { testInstallation } from "../support/installation.ts";
import { command } from "../support/program.ts";

/** Runs commands as somebody, and lets no token or key of theirs into the output unasked. */
function runner(slipway: Cli, apiUrl: string, token: string, secrets: readonly string[]) {
  return async (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> => {
    const ran = await slipway.run(args, {
      clock: systemClock,
      env: { SLIPWAY_API_URL: apiUrl, SLIPWAY_TOKEN: token, ...env },
    });
    for (const secret of secrets) assert.ok(!(ran.stdout + ran.stderr).includes(secret), args.join(" "));
    return ran;
  };
}

function ok(ran: Ran): Ran {
  assert.equal(ran.status, 0, `${ran.stdout}\n${ran.stderr}`);
  return ran;
}

/** The value of a fact in text output. */
function fact(ran: Ran, name: string): string {
  return new RegExp(`^ *${name}  +(.*)$`, "m").exec(ran.stdout)?.[1] ?? "";
}

test("a model's whole life from the command line: asked, deployed, talked to, paid, paused and deleted", async (t) => {
  const on = await testInstallation(t);
  const slipway = await cli(t);
  const secrets = [on.people.userToken, on.people.adminToken, on.people.userKey];
  const run = runner(slipway, on.apiUrl(), on.people.userToken, secrets);
  const deploy = ["builtin://tiny", "--name", "first", "--region", "local", "--gpus", "0"];

  const verdict = ok(await run(["preflight", ...deploy]));
  assert.match(verdict.stdout, /It would be accepted\./);
  assert.match(verdict.stdout, /ONPREM\/local .*chosen/);

  const deployed = ok(await run(["models", "deploy", ...deploy, "--wait"]));
  assert.equal(fact(deployed, "status"), "RUNNING");
  assert.match(deployed.stderr, /Accepted: first/);
  assert.match(ok(await run(["models", "list"])).stdout, /first +RUNNING +ONPREM\/local +CPU +1\/1/);
  const key = fact(ok(await run(["models", "get", "first", "--show-key"])), "key");
  assert.ok(key.length >= 32);
  assert.ok(!ok(await run(["models", "get", "first"])).stdout.includes(key));
  assert.match(ok(await run(["models", "events", "first"])).stdout, /RUNNING/);
  assert.ok(ok(await run(["models", "logs", "first", "--tail", "50"])).stdout.length > 0);

  const answer = ok(await run(["chat", "first", "-m", "Where to?", "--max-tokens", "8"]));
  assert.ok(answer.stdout.trim().length > 0);
  const receiptId = /receipt (\S+)\]/.exec(answer.stderr)?.[1] ?? "";
  assert.ok(receiptId, answer.stderr);
  let receipt = await run(["receipts", "get", receiptId]);
  for (let look = 0; receipt.status === 5 && look < 100; look++) {
    await systemClock.sleep(100);
    receipt = await run(["receipts", "get", receiptId]);
  }
  assert.match(fact(ok(receipt), "output tokens"), /^[1-8]$/);
  assert.match(ok(await run(["receipts", "--model", "first"])).stdout, new RegExp(receiptId));

  assert.notEqual(fact(ok(await run(["balance"])), "held"), "0.00 USD");
  assert.equal(ok(await run(["models", "pause", "first", "--wait"])).stdout, "first is PAUSED\n");
  assert.equal(fact(ok(await run(["balance"])), "held"), "0.00 USD");
  assert.match(ok(await run(["transactions"])).stdout, /charge\.gpu +-0\.\d+ USD/);
  assert.equal((await run(["chat", "first", "-m", "?"])).status, 7);
  assert.equal(ok(await run(["models", "delete", "first", "--wait"])).stdout, "first is DELETED\n");
  assert.equal((await run(["models", "get", "first"])).status, 5);
});

test("an administrator brings a user from nothing to a serverless answer, and each step that is missing is told", async (t) => {
  const on = await testInstallation(t);
  const slipway = await cli(t);
  const admin = runner(slipway, on.apiUrl(), on.people.adminToken, [on.people.adminToken]);
  const created = ok(await admin(["admin", "users", "create", "Grace", "--email", "grace@example.com"]));
  const userId = fact(created, "id");
  const token =
    fact(ok(await admin(["admin", "users", "token", "grace@example.com"])), "token").split(" ")[0] ?? "";
  const grace = runner(slipway, on.apiUrl(), token, [token]);
  assert.equal(fact(ok(await grace(["whoami"])), "user"), "Grace");
  assert.equal((await grace(["admin", "users", "list"])).status, 4);

  const deploy = ["models", "deploy", "builtin://tiny", "--name", "hers", "--region", "local"];
  const cardless = await grace(deploy);
  assert.equal(cardless.status, 6);
  assert.match(cardless.stderr, /CARD_MISSING|BALANCE_TOO_LOW/);
  ok(await grace(["cards", "add", "pm_card_visa"]));
  const poor = await grace(deploy);
  assert.equal(poor.status, 6);
  assert.match(poor.stderr, /BALANCE_TOO_LOW/);
  ok(await grace(["topup", "5"]));
  const grant = ["admin", "credit", "grace@example.com", "2.5", "--note", "welcome", "--expires", "90d"];
  ok(await admin(grant));
  const balance = ok(await grace(["balance"]));
  assert.equal(fact(balance, "balance"), "7.50 USD");
  assert.match(balance.stdout, /2\.50 USD expires 20.* \(welcome\)/);
  const much = await admin(["admin", "credit", "grace@example.com", "500"]);
  assert.match(much.stderr, /SECOND_ADMIN_NEEDED/);
  ok(await grace([...deploy, "--wait"]));

  const prices = ["--input", "0.10", "--output-price", "0.40"];
  assert.equal((await admin(["admin", "catalog", "publish", "small-chat", "hers", ...prices])).status, 2);
  ok(await admin(["admin", "catalog", "publish", "small-chat", "hers", ...prices, "--owner-agreed"]));
  const user = runner(slipway, on.apiUrl(), on.people.userToken, [on.people.userToken]);
  assert.match(ok(await user(["catalog", "list"])).stdout, /small-chat +yes +0\.10 USD/);
  const made = ok(await user(["keys", "create", "--name", "laptop"]));
  const env = {
    SLIPWAY_GATEWAY_URL: on.gatewayUrl(),
    SLIPWAY_API_KEY: fact(made, "key").split(" ")[0] ?? "",
  };
  const answer = ok(
    await user(["chat", "small-chat", "-m", "Hello", "--max-tokens", "4", "--output", "json"], env),
  );
  assert.ok(JSON.parse(answer.stdout).usage.completionTokens > 0);
  ok(await user(["keys", "delete", fact(made, "id")]));
  ok(await admin(["admin", "catalog", "unpublish", "small-chat"]));
  assert.match(
    ok(await admin(["admin", "users", "list"])).stdout,
    new RegExp(`Grace +grace@example.com +USER .*${userId}`),
  );
});

test("the program itself: beside a quickstart nothing has to be set, and completion knows every command", async (t) => {
  const on = await testInstallation(t);
  const { writeFile } = await import("node:fs/promises");
  const { join } = await import("node:path");
  const { adminToken, userToken, userKey } = on.people;
  const state = { apiUrl: on.apiUrl(), gatewayUrl: on.gatewayUrl(), adminToken, userToken, userKey };
  await writeFile(join(on.home, "quickstart.json"), JSON.stringify(state));
  const env = { SLIPWAY_HOME: on.home, SLIPWAY_CONFIG_HOME: join(on.home, "none") };
  const listed = await command(t, ["models", "list"], env);
  assert.deepEqual([listed.status, /There are no models/.test(listed.output)], [0, true], listed.output);
  assert.equal((await command(t, ["admin", "users", "list"], env)).status, 0);
  assert.equal((await command(t, ["models", "get", "nobody"], env)).status, 5);
  assert.equal((await command(t, ["models", "lst"], env)).status, 2);
  const script = await command(t, ["completion", "bash"], env);
  assert.match(script.output, /complete .*slipway/);
  const words = await command(t, ["complete", "--", "models", ""], env);
  for (const word of ["deploy", "list", "wait", "logs"])
    assert.match(words.output, new RegExp(`^${word}\t`, "m"));
});
