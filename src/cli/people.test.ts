/** The commands about users, tokens and keys against the real identity domain, on a real database, over the real edge. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { secretBox } from "../base/seal.ts";
import { createIdempotency } from "../idempotency/index.ts";
import {
  authenticate,
  bootstrapAdmin,
  findInferenceKey,
  identityRoutes,
  inferenceKeyHash,
  type Terms,
} from "../identity/index.ts";
import * as edge from "../rpc/index.ts";
import { cli, START } from "./testing/harness.ts";

async function setup(t: Cleanup, terms?: Terms) {
  const { db } = await testDatabase(t);
  const ctx = { db, clock: { ...systemClock, now: () => START }, random: systemRandom, log: silentLog };
  const idempotency = createIdempotency({ box: secretBox("k".repeat(32)) });
  const server = edge.createRpcServer({
    ctx,
    routes: [identityRoutes({ db, edge, terms })],
    authenticate: (call, bearer) => authenticate({ ...call, db }, bearer),
    idempotency: { begin: (call, input) => idempotency.begin({ ...call, db }, input) },
    openApi: "{}",
    version: "test",
    health: () => ({ ok: true, facts: {} }),
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(async () => {
    const closed = server.close();
    server.app.server.closeAllConnections();
    await closed;
  });
  const admin = await bootstrapAdmin(ctx, { name: "Root" });
  const slipway = await cli(t, { SLIPWAY_API_URL: `http://127.0.0.1:${port}` });
  /** Runs a command with somebody's token; its output as JSON. */
  const as = async (token: string, ...args: string[]) => {
    const ran = await slipway.run([...args, "--output", "json"], { env: { SLIPWAY_TOKEN: token } });
    return { ...ran, body: ran.stdout === "" ? {} : JSON.parse(ran.stdout) };
  };
  return { ctx, admin, slipway, as, url: `http://127.0.0.1:${port}` };
}

test("an administrator makes a user and a token, and the user logs in with it", async (t) => {
  const { admin, as, slipway } = await setup(t);
  const made = await as(admin.token, "admin", "users", "create", "Ada", "--email", "ada@example.com");
  assert.equal(made.status, 0, made.stderr);
  const { user } = made.body;
  assert.deepEqual([user.displayName, user.userRole], ["Ada", "USER_ROLE_USER"]);
  const token = await as(
    admin.token,
    "admin",
    "users",
    "token",
    "ada@example.com",
    "--name",
    "laptop",
    "--expires",
    "30d",
  );
  assert.equal(token.status, 0, token.stderr);
  assert.equal(token.body.accessToken.userId, user.id);
  assert.match(token.body.secret, /^swt_/);
  const login = await slipway.run(["login"], { stdin: token.body.secret });
  assert.equal(login.status, 0, login.stderr);
  const whoami = await slipway.run(["whoami"]);
  assert.match(whoami.stdout, /user +Ada/);
  assert.ok(!(login.stdout + login.stderr + whoami.stdout).includes(token.body.secret));
  const listed = await slipway.run(["admin", "users", "list"], { env: { SLIPWAY_TOKEN: admin.token } });
  assert.match(listed.stdout, /Root .*SUPER_ADMIN/);
  assert.match(listed.stdout, /Ada +ada@example\.com +USER/);
});

test("a user may not administrate, and a read-only token may not change anything", async (t) => {
  const { admin, as } = await setup(t);
  const { body } = await as(admin.token, "admin", "users", "create", "Ada");
  const token = async (...scope: string[]) =>
    (await as(admin.token, "admin", "users", "token", body.user.id, ...scope)).body.secret;
  const user = await token();
  for (const args of [
    ["admin", "users", "list"],
    ["admin", "users", "create", "Eve"],
    ["admin", "users", "token", body.user.id],
    ["admin", "users", "role", body.user.id, "super_admin"],
    ["keys", "list", "--user", admin.userId],
  ]) {
    const ran = await as(user, ...args);
    assert.equal(ran.status, 4, args.join(" "));
    assert.equal(JSON.parse(ran.stderr).error.reason, "NOT_ALLOWED");
  }
  const reader = await token("--scope", "read");
  assert.equal((await as(reader, "keys", "list")).status, 0);
  const refused = await as(reader, "keys", "create");
  assert.deepEqual([refused.status, JSON.parse(refused.stderr).error.reason], [4, "SCOPE_MISSING"]);
  const odd = await as(admin.token, "admin", "users", "token", body.user.id, "--scope", "root");
  assert.equal(odd.status, 2);
});

test("roles change, but the last SUPER_ADMIN stays, and an ADMIN makes no token of a SUPER_ADMIN", async (t) => {
  const { admin, as } = await setup(t);
  const last = await as(admin.token, "admin", "users", "role", admin.userId, "user");
  assert.deepEqual([last.status, JSON.parse(last.stderr).error.reason], [6, "LAST_SUPER_ADMIN"]);
  const { body } = await as(admin.token, "admin", "users", "create", "Ada", "--role", "admin");
  const token = await as(admin.token, "admin", "users", "token", body.user.id);
  const escalation = await as(token.body.secret, "admin", "users", "token", admin.userId);
  assert.equal(escalation.status, 4);
  const appointment = await as(token.body.secret, "admin", "users", "create", "Eve", "--role", "admin");
  assert.equal(appointment.status, 4);
  const raised = await as(admin.token, "admin", "users", "role", body.user.id, "super-admin");
  assert.equal(raised.body.user.userRole, "USER_ROLE_SUPER_ADMIN");
});

test("a key is shown once, listed by its beginning, and opens nothing once deleted", async (t) => {
  const { admin, as, ctx, slipway } = await setup(t);
  const made = await as(
    admin.token,
    "keys",
    "create",
    "--name",
    "laptop",
    "--scope",
    "catalog",
    "--expires",
    "12h",
  );
  assert.equal(made.status, 0, made.stderr);
  const { id, secret, scopes } = made.body.apiKey;
  assert.deepEqual(scopes, ["catalog"]);
  assert.equal((await findInferenceKey(ctx, inferenceKeyHash(secret)))?.keyId, id);
  const listed = await slipway.run(["keys", "list"], { env: { SLIPWAY_TOKEN: admin.token } });
  assert.ok(listed.stdout.includes(secret.slice(0, 6)) && !listed.stdout.includes(secret), listed.stdout);
  assert.equal((await as(admin.token, "keys", "delete", id)).status, 0);
  assert.equal(await findInferenceKey(ctx, inferenceKeyHash(secret)), undefined);
  assert.equal((await as(admin.token, "keys", "list")).body.apiKeys.length, 0);
  assert.equal((await as(admin.token, "keys", "list", "--deleted")).body.apiKeys.length, 1);
  const again = await as(admin.token, "keys", "delete", admin.userId);
  assert.deepEqual([again.status, JSON.parse(again.stderr).error.reason], [5, "KEY_NOT_FOUND"]);
});

test("a keyed call that makes a secret makes it once, and a repeat gets the same one", async (t) => {
  const { admin, url } = await setup(t);
  const create = (name: string) =>
    fetch(`${url}/v1/users/api-keys`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${admin.token}`,
        "content-type": "application/json",
        "idempotency-key": "once",
      },
      body: JSON.stringify({ name }),
    });
  const [first, second] = [await create("a"), await create("a")];
  const bodies = [await first.json(), await second.json()];
  assert.deepEqual(bodies[0], bodies[1]);
  assert.equal(second.headers.get("idempotency-replayed"), "true");
  assert.equal((await create("b")).status, 409);
  const list = await fetch(`${url}/v1/users/api-keys`, {
    headers: { authorization: `Bearer ${admin.token}` },
  });
  assert.equal((await list.text()).match(/"prefix":/g)?.length, 1);
});

test("a key gets a new secret, which is shown once, and the old one opens as long as --grace says", async (t) => {
  const { admin, as, ctx, slipway } = await setup(t);
  const { id, secret } = (await as(admin.token, "keys", "create")).body.apiKey;
  const rotated = await as(admin.token, "keys", "rotate", id, "--grace", "1h");
  assert.equal(rotated.status, 0, rotated.stderr);
  const oldEnd = (await findInferenceKey(ctx, inferenceKeyHash(secret)))?.expiresAt;
  assert.equal(oldEnd?.getTime(), START.getTime() + 3_600_000);
  const env = { SLIPWAY_TOKEN: admin.token };
  const shown = await slipway.run(["keys", "rotate", id], { env });
  const [fresh = ""] = /sk-\S{43}/.exec(shown.stdout) ?? [];
  assert.match(shown.stdout, /old secret +is ended/);
  assert.equal((await findInferenceKey(ctx, inferenceKeyHash(fresh)))?.keyId, id);
  assert.equal(await findInferenceKey(ctx, inferenceKeyHash(rotated.body.apiKey.secret)), undefined);
  assert.equal((await as(admin.token, "keys", "rotate", id, "--grace", "soon")).status, 2);
  assert.equal((await as(admin.token, "keys", "rotate", id, "--grace", "8d")).status, 2);
  assert.equal((await as(admin.token, "keys", "delete", id)).status, 0);
  assert.equal((await as(admin.token, "keys", "rotate", id)).status, 6);
});

test("a refusal for want of accepted terms leads to the command that accepts them", async (t) => {
  const { admin, as, slipway } = await setup(t, { version: "2026-01", url: "https://example.com/terms" });
  const env = { SLIPWAY_TOKEN: admin.token };
  const refused = await slipway.run(["keys", "create"], { env });
  assert.equal(refused.status, 6);
  assert.match(refused.stderr, /TOS_NOT_ACCEPTED[\s\S]*slipway terms accept/);
  const before = await slipway.run(["terms", "show"], { env });
  assert.match(before.stdout, /2026-01[\s\S]*https:\/\/example\.com\/terms[\s\S]*not yet/);
  assert.equal((await as(admin.token, "terms", "accept")).body.user.tosAcceptedVersion, "2026-01");
  assert.equal((await as(admin.token, "keys", "create")).status, 0);
  assert.equal((await as(admin.token, "terms", "show")).body.terms.accepted, true);
});

test("where there are no terms, the commands say so", async (t) => {
  const { admin, slipway } = await setup(t);
  for (const verb of ["show", "accept"]) {
    const ran = await slipway.run(["terms", verb], { env: { SLIPWAY_TOKEN: admin.token } });
    assert.deepEqual([ran.status, ran.stdout], [0, "This installation asks for no terms of use.\n"]);
  }
});

test("a profile is shown and changed field by field", async (t) => {
  const { admin, as, slipway } = await setup(t);
  assert.equal(
    (await as(admin.token, "profile", "update", "--company", "Engines", "--first-name", "Ada")).status,
    0,
  );
  assert.equal((await as(admin.token, "profile", "update", "--first-name", "")).status, 0);
  const shown = await slipway.run(["profile", "show"], { env: { SLIPWAY_TOKEN: admin.token } });
  assert.match(shown.stdout, /name +Root\n[\s\S]*company +Engines\n[\s\S]*role +SUPER_ADMIN\n/);
  assert.ok(!shown.stdout.includes("Ada"));
  assert.equal((await as(admin.token, "profile", "update")).status, 2);
  const { body } = await as(admin.token, "admin", "users", "create", "Eve");
  assert.equal(
    (await as(admin.token, "profile", "update", "--user", body.user.id, "--company", "Ours")).status,
    0,
  );
  assert.equal((await as(admin.token, "profile", "show", "--user", body.user.id)).body.user.company, "Ours");
});
