/** What calls leave in the audit log, seen as administrators and users see it: over HTTP, on a real database. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import { accessWorld, type User, type World } from "./world.ts";

interface Event {
  readonly action: string;
  readonly actorUserId: string;
  readonly userId: string;
  readonly tokenId: string;
  readonly resource: string;
  readonly outcome: string;
  readonly reason: string;
  readonly requestId: string;
  readonly address: string;
  readonly times: number;
  readonly details: Readonly<Record<string, string>>;
}

async function call(world: World, who: { token?: string }, method: string, path: string, body?: object) {
  const answer = await fetch(world.url + path, {
    method,
    headers: {
      "x-request-id": "request-7",
      ...(who.token !== undefined && { authorization: `Bearer ${who.token}` }),
      ...(body && { "content-type": "application/json" }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: JSON.parse(await answer.text()) };
}

/** The events that a filter finds, newest first, asked for by an administrator who is in none of them. */
async function events(world: World, query: string): Promise<readonly Event[]> {
  await world.notes.flush();
  const auditor = await world.user("ADMIN");
  const found = await call(world, auditor, "GET", `/v1/admin/audit-events?${query}&pageSize=1000`);
  assert.equal(found.status, 200, JSON.stringify(found.body));
  return found.body.events.filter(({ actorUserId }: Event) => actorUserId !== auditor.id);
}

async function activities(world: World, user: User): Promise<readonly Readonly<Record<string, unknown>>[]> {
  await world.notes.flush();
  return (await call(world, user, "GET", "/v1/activities?pageSize=1000")).body.activities;
}

const brief = ({ action, actorUserId, userId, reason, resource }: Event) => [
  action,
  actorUserId,
  userId,
  reason,
  resource,
];

test("an administrator's read of another's things is told, to whom and of what; one's own reads are not", async (t) => {
  const world = await accessWorld(t);
  const [owner, admin] = [await world.user("USER"), await world.user("ADMIN")];
  const modelId = await world.of(owner).model();
  for (const who of [owner, admin]) await call(world, who, "GET", `/v1/models/${modelId}`);
  await call(world, admin, "GET", `/v1/billing/balance?userId=${owner.id}`);
  await call(world, admin, "GET", "/auth/profile");
  assert.deepEqual(await events(world, `actorUserId=${owner.id}`), []);
  const [balance, model, ...rest] = await events(world, `actorUserId=${admin.id}`).then((found) =>
    found.toSorted((a, b) => a.resource.localeCompare(b.resource)),
  );
  assert.deepEqual(rest, []);
  assert.ok(model && balance);
  assert.deepEqual(brief(model), ["admin.read", admin.id, owner.id, "", `model:${modelId}`]);
  assert.deepEqual(brief(balance), ["admin.read", admin.id, owner.id, "", ""]);
  assert.deepEqual(model.details, { method: "tensormesh.model.v1.ModelService/GetModel" });
  assert.deepEqual(
    [model.requestId, model.address, model.outcome],
    ["request-7", "127.0.0.1", "AUDIT_OUTCOME_OK"],
  );
  assert.notEqual(model.tokenId, "");
});

test("a look at many users is told of each, and one at all of them once", async (t) => {
  const world = await accessWorld(t);
  const admin = await world.user("ADMIN");
  const [one, other] = [await world.user("USER"), await world.user("USER")];
  const targetUserIds = [one.id, other.id, admin.id];
  await call(world, admin, "POST", "/v1/admin/billing/balances", { targetUserIds });
  await call(world, admin, "GET", "/v1/models?allUsers=true");
  const found = await events(world, `actorUserId=${admin.id}&action=admin.read`);
  assert.deepEqual(
    found.map(({ userId, resource }) => [userId, resource]).sort(),
    [
      ["", "user:*"],
      [one.id, ""],
      [other.id, ""],
    ].sort(),
  );
});

test("a refusal is told with whom it was about, also where the caller is told 404", async (t) => {
  const world = await accessWorld(t);
  const [owner, eve] = [await world.user("USER"), await world.user("USER")];
  const modelId = await world.of(owner).model();
  assert.equal((await call(world, eve, "GET", `/v1/models/${modelId}`)).status, 404);
  assert.equal((await call(world, eve, "GET", `/v1/billing/balance?userId=${owner.id}`)).status, 403);
  assert.equal((await call(world, eve, "GET", "/v1/admin/users")).status, 403);
  assert.equal((await call(world, eve, "GET", `/v1/models/${owner.id}`)).status, 404);
  const reader = await world.token(eve, ["read"]);
  const wish = { userId: owner.id };
  assert.equal((await call(world, { token: reader }, "POST", "/v1/users/api-keys", wish)).status, 403);
  const found = await events(world, `actorUserId=${eve.id}&action=call.refused`);
  assert.deepEqual(
    found.map(brief).map(String).sort(),
    [
      ["call.refused", eve.id, "", "NOT_ALLOWED", ""],
      ["call.refused", eve.id, "", "SCOPE_MISSING", ""],
      ["call.refused", eve.id, owner.id, "MODEL_NOT_FOUND", `model:${modelId}`],
      ["call.refused", eve.id, owner.id, "NOT_ALLOWED", ""],
    ]
      .map(String)
      .sort(),
    "what does not exist is a mistake and no refusal",
  );
  assert.ok(found.every(({ outcome }) => outcome === "AUDIT_OUTCOME_REFUSED"));
});

test("tokens that open nothing are told, calls without one are not", async (t) => {
  const world = await accessWorld(t);
  for (let at = 0; at < 30; at++) await call(world, { token: "swt_canary-token" }, "GET", "/auth/profile");
  await call(world, {}, "GET", "/auth/profile");
  const found = await events(world, "action=call.refused");
  assert.deepEqual(
    found.map(({ reason, actorUserId, address, times }) => [reason, actorUserId, address, times]),
    [["TOKEN_INVALID", "", "127.0.0.1", 1]],
  );
  await world.notes.flush(true);
  const { rows } = await sql<{
    n: bigint;
  }>`select sum(times)::bigint as n from audit_event where action = 'call.refused'`.execute(world.ctx.db);
  assert.equal(rows[0]?.n, 30n);
});

test("what is written with its change needs no flush, tells who did it, and holds no secret", async (t) => {
  const world = await accessWorld(t);
  const [user, chief] = [await world.user("USER"), await world.user("SUPER_ADMIN")];
  const { apiKey } = (await call(world, user, "POST", "/v1/users/api-keys", { name: "canary-name" })).body;
  const rotated = (await call(world, user, "POST", `/v1/users/api-keys/${apiKey.id}:rotate`, {})).body.apiKey;
  await call(world, chief, "DELETE", `/v1/users/api-keys/${apiKey.id}`);
  const role = { targetUserId: user.id, targetUserRole: "USER_ROLE_ADMIN" };
  await call(world, chief, "POST", "/v1/admin/users/change_role", role);
  const amount = { currencyCode: "USD", units: "5" };
  const grant = { targetUserId: user.id, amount, description: "canary-note" };
  await call(world, chief, "POST", "/v1/admin/billing/balances:add", grant);
  const { accessToken, secret } = (
    await call(world, chief, "POST", "/v1/admin/access-tokens", { userId: user.id, name: "canary-token" })
  ).body;
  await call(world, chief, "DELETE", `/v1/admin/access-tokens/${accessToken.accessTokenId}`);
  await call(world, chief, "POST", `/v1/admin/users/${user.id}:disable`, {});
  const { rows } = await sql<{ action: string; actor_id: string; details: Record<string, string> }>`
    select action, actor_id, details from audit_event where subject_id = ${user.id} and token_id <> '' order by action`.execute(
    world.ctx.db,
  );
  assert.deepEqual(
    rows.map((row) => [row.action, row.actor_id]),
    [
      ["credit.granted", chief.id],
      ["key.created", user.id],
      ["key.deleted", chief.id],
      ["key.rotated", user.id],
      ["token.created", chief.id],
      ["token.revoked", chief.id],
      ["user.disabled", chief.id],
      ["user.role_changed", chief.id],
    ],
  );
  assert.deepEqual(rows.at(-1)?.details, { from: "USER", to: "ADMIN" });
  assert.deepEqual(rows[0]?.details, { amount: "5.00 USD" });
  assert.equal((await events(world, `userId=${user.id}&action=admin`)).length, 0, "nothing is told twice");
  const all = await sql<{
    text: string;
  }>`select coalesce(string_agg(audit_event::text, ' '), '') as text from audit_event`.execute(world.ctx.db);
  const text = all.rows[0]?.text ?? "";
  for (const hidden of [apiKey.secret, rotated.secret, secret, user.token, chief.token, "canary"]) {
    assert.ok(!text.includes(hidden), "a secret or a user's own text is in the audit log");
  }
});

test("a user sees what was done to the account and by what kind of person, not who or from where", async (t) => {
  const world = await accessWorld(t);
  const [owner, admin, eve] = [await world.user("USER"), await world.user("ADMIN"), await world.user("USER")];
  const modelId = await world.of(owner).model();
  await call(world, admin, "POST", `/v1/models/${modelId}:pause`, {});
  await call(world, owner, "DELETE", `/v1/models/${modelId}`);
  await call(world, eve, "GET", `/v1/models/${modelId}`);
  const seen = (await activities(world, owner)).filter(({ action }) => String(action).startsWith("model."));
  assert.deepEqual(
    seen
      .map((one) => [one.action, one.actor, one.resource, one.address, one.tokenId === "", one.summary])
      .sort((a, b) => String(a[0]).localeCompare(String(b[0]))),
    [
      [
        "model.deleted",
        "ACTIVITY_ACTOR_SELF",
        `model:${modelId}`,
        "127.0.0.1",
        false,
        "A model was deleted.",
      ],
      ["model.paused", "ACTIVITY_ACTOR_ADMINISTRATOR", `model:${modelId}`, "", true, "A model was paused."],
    ],
  );
  const text = JSON.stringify(await activities(world, owner));
  assert.ok(!text.includes(admin.id) && !text.includes(eve.id));
  assert.deepEqual(
    (await activities(world, eve))
      .filter(({ outcome }) => outcome === "AUDIT_OUTCOME_REFUSED")
      .map(({ reason }) => reason),
    ["MODEL_NOT_FOUND"],
  );
});

test("a stream is told with its first message, and a call over Connect like any other", async (t) => {
  const world = await accessWorld(t);
  const [owner, admin] = [await world.user("USER"), await world.user("ADMIN")];
  const modelId = await world.of(owner).model();
  const stream = await fetch(`${world.url}/v1/models/${modelId}/events:watch`, {
    headers: { authorization: `Bearer ${admin.token}` },
  });
  const reader = stream.body?.getReader();
  await reader?.read();
  const watched = await events(world, `actorUserId=${admin.id}`);
  await reader?.cancel();
  assert.deepEqual(watched.map(brief), [["admin.read", admin.id, owner.id, "", `model:${modelId}`]]);
  const path = "/tensormesh.billing.v1.UserBalanceService/GetUserBalance";
  await call(world, admin, "POST", path, { userId: owner.id });
  const [connect] = await events(world, `actorUserId=${admin.id}`);
  assert.deepEqual(
    [connect?.details.method, connect?.address, connect?.userId],
    [path.slice(1), "127.0.0.1", owner.id],
  );
});
