/** Profile, terms of use and rotation of keys over REST, through the real edge and database. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { type Json, people, restEdge } from "../../test/support/rest-edge.ts";
import * as edge from "../rpc/index.ts";
import {
  bootstrapAdmin,
  findInferenceKey,
  getUser,
  identityRoutes,
  inferenceKeyHash,
  type Terms,
} from "./index.ts";

const START = new Date("2026-03-01T10:00:00Z");
const HOUR_MS = 3_600_000;
const TERMS: Terms = { version: "2026-01", url: "https://example.com/terms" };

/** A control plane of identity alone; `restart` is an operator's, with other terms. */
async function setup(t: Cleanup, terms?: Terms) {
  const { ctx, advance, person } = await people(t, START);
  const start = (inForce: Terms | undefined) =>
    restEdge(t, ctx, [identityRoutes({ db: ctx.db, edge, terms: inForce })]);
  let serving = start(terms);
  const call: (typeof serving)["call"] = (...args) => serving.call(...args);
  const restart = (inForce: Terms | undefined) => {
    serving = start(inForce);
  };
  return { ctx, advance, person, call, restart };
}

test("a profile changes where a field is given, is cleared where it is empty, and stays otherwise", async (t) => {
  const { call, person } = await setup(t);
  const ada = await person("Ada");
  const path = `/v1/users/${ada.id}`;
  const first = await call(ada, "PUT", path, { firstName: "Ada", lastName: "Lovelace", company: "Engines" });
  assert.deepEqual([first.status, first.body], [200, { empty: {} }]);
  assert.deepEqual((await call(ada, "PUT", path, { company: "", displayName: "Ada L." })).status, 200);
  assert.deepEqual((await call(ada, "PUT", path, {})).body, { empty: {} });
  const { user } = (await call(ada, "GET", "/auth/profile")).body;
  assert.deepEqual(
    [user?.firstName, user?.lastName, user?.displayName, user?.company, user?.userEmail],
    ["Ada", "Lovelace", "Ada L.", "", "Ada@example.com"],
  );
});

test("a profile's rules are those of the contract, and what decides about people is not in it", async (t) => {
  const { call, ctx, person } = await setup(t);
  const ada = await person("Ada");
  const broken = await call(ada, "PUT", `/v1/users/${ada.id}`, {
    displayName: "Ada\u001b[2J",
    company: "x".repeat(201),
  });
  assert.deepEqual([broken.status, broken.reason], [400, "INVALID_FIELD"]);
  const hidden = await call(ada, "PUT", `/v1/users/${ada.id}`, { displayName: "Support\u202eada" });
  assert.deepEqual([hidden.status, hidden.reason], [400, "INVALID_FIELD"]);
  assert.equal((await call(ada, "PUT", "/v1/users/me", { company: "x" })).reason, "UUID_MALFORMED");
  const wish = { userRole: "USER_ROLE_SUPER_ADMIN", userEmail: "root@example.com", company: "Ours" };
  assert.equal((await call(ada, "PUT", `/v1/users/${ada.id}`, wish)).status, 200);
  const after = await getUser(ctx, ada.id);
  assert.deepEqual([after.role, after.email, after.company], ["USER", "Ada@example.com", "Ours"]);
});

test("another's profile is changed by administrators who rank no lower, and by nobody else", async (t) => {
  const { call, ctx, person } = await setup(t);
  const [ada, eve, admin] = [await person("Ada"), await person("Eve"), await person("Root", "ADMIN")];
  const chief = await bootstrapAdmin(ctx, { name: "Chief" });
  const nobody = "6f1c4d1e-3c0a-4a0e-9d1a-8b3f2a7c5e10";
  for (const id of [ada.id, chief.userId, nobody]) {
    const refused = await call(eve, "PUT", `/v1/users/${id}`, { company: "Eve's" });
    assert.deepEqual([refused.status, refused.reason], [403, "NOT_ALLOWED"]);
  }
  assert.equal((await call(admin, "PUT", `/v1/users/${ada.id}`, { company: "Ours" })).status, 200);
  assert.equal((await getUser(ctx, ada.id)).company, "Ours");
  assert.equal((await call(admin, "PUT", `/v1/users/${chief.userId}`, { company: "x" })).status, 403);
  const missing = await call(admin, "PUT", `/v1/users/${nobody}`, { company: "x" });
  assert.deepEqual([missing.status, missing.reason], [404, "USER_NOT_FOUND"]);
});

test("keys are made only for accounts that accepted the terms in force", async (t) => {
  const { call, person, advance, restart } = await setup(t, TERMS);
  const [ada, admin] = [await person("Ada"), await person("Root", "ADMIN")];
  const refused = await call(ada, "POST", "/v1/users/api-keys", { name: "laptop" });
  assert.deepEqual([refused.status, refused.reason], [400, "TOS_NOT_ACCEPTED"]);
  assert.deepEqual(refused.body.details?.[0]?.metadata, TERMS);
  assert.match(String(refused.body.message), /https:\/\/example\.com\/terms.*accept-tos/);
  const before = await call(ada, "GET", "/auth/profile");
  assert.deepEqual(before.body.terms, { ...TERMS, accepted: false });
  assert.equal(before.body.user?.tosAcceptedAt, null);

  const accepted = await call(ada, "POST", `/v1/users/accept-tos?userId=${ada.id}&version=2026-01`);
  assert.deepEqual(
    [accepted.status, accepted.body.user?.tosAcceptedVersion, accepted.body.user?.tosAcceptedAt],
    [200, "2026-01", "2026-03-01T10:00:00Z"],
  );
  advance(HOUR_MS);
  const again = await call(ada, "POST", "/v1/users/accept-tos");
  assert.deepEqual(again.body, accepted.body, "a repeat changes nothing");
  assert.equal((await call(ada, "POST", "/v1/users/api-keys", {})).status, 200);
  assert.equal(
    (await call(admin, "POST", "/v1/users/api-keys", { userId: ada.id })).status,
    200,
    "the account that the key is for has accepted",
  );

  restart({ version: "2026-06", url: "" });
  assert.equal((await call(ada, "POST", "/v1/users/api-keys", {})).reason, "TOS_NOT_ACCEPTED");
  const stale = await call(ada, "POST", "/v1/users/accept-tos?version=2026-01");
  assert.deepEqual([stale.status, stale.reason], [400, "INVALID_FIELD"]);
  assert.equal((await call(ada, "POST", "/v1/users/accept-tos?version=2026-06")).status, 200);
  assert.equal((await call(ada, "POST", "/v1/users/api-keys", {})).status, 200);
});

test("nobody accepts in another's name, administrators included", async (t) => {
  const { call, ctx, person } = await setup(t, TERMS);
  const [ada, eve, admin] = [await person("Ada"), await person("Eve"), await person("Root", "ADMIN")];
  for (const who of [eve, admin]) {
    const refused = await call(who, "POST", `/v1/users/accept-tos?userId=${ada.id}`);
    assert.deepEqual([refused.status, refused.reason], [403, "NOT_ALLOWED"]);
  }
  assert.equal((await getUser(ctx, ada.id)).tosAcceptedAt, null);
});

test("every acceptance is kept for ever", async (t) => {
  const { call, ctx, person, restart } = await setup(t, TERMS);
  const ada = await person("Ada");
  await call(ada, "POST", "/v1/users/accept-tos");
  restart({ version: "2026-06", url: "" });
  await call(ada, "POST", "/v1/users/accept-tos");
  const { rows } = await sql<{ version: string }>`
    select version from terms_acceptance where user_id = ${ada.id} order by version`.execute(ctx.db);
  assert.deepEqual(
    rows.map(({ version }) => version),
    ["2026-01", "2026-06"],
  );
  const told = await sql<{ version: string }>`
    select details ->> 'version' as version from audit_event
    where action = 'user.accepted_terms' and subject_id = ${ada.id} order by 1`.execute(ctx.db);
  assert.deepEqual(told.rows, rows, "and the account's activities tell of it");
  await assert.rejects(sql`delete from terms_acceptance`.execute(ctx.db));
  await assert.rejects(sql`update terms_acceptance set version = 'other'`.execute(ctx.db));
});

test("without configured terms nothing is asked, and accepting notes the time", async (t) => {
  const { call, person } = await setup(t);
  const ada = await person("Ada");
  assert.equal((await call(ada, "POST", "/v1/users/api-keys", {})).status, 200);
  assert.equal((await call(ada, "GET", "/auth/profile")).body.terms, null);
  const accepted = await call(ada, "POST", "/v1/users/accept-tos");
  assert.deepEqual(
    [accepted.body.user?.tosAcceptedAt, accepted.body.user?.tosAcceptedVersion],
    ["2026-03-01T10:00:00Z", ""],
  );
  assert.equal((await call(ada, "POST", "/v1/users/accept-tos?version=x")).reason, "INVALID_FIELD");
});

test("a rotated key keeps everything but its secret, and the old one ends at once", async (t) => {
  const { call, ctx, person } = await setup(t);
  const ada = await person("Ada");
  const expiresAt = "2026-04-01T00:00:00Z";
  const wanted = { name: "laptop", scopes: ["catalog"], expiresAt };
  const { apiKey: made } = (await call(ada, "POST", "/v1/users/api-keys", wanted)).body;
  const { status, body } = await call(ada, "POST", `/v1/users/api-keys/${made?.id}:rotate`, {});
  const { apiKey: rotated } = body;
  assert.equal(status, 200);
  const { secret, prefix, rotatedAt, ...kept } = rotated ?? {};
  assert.deepEqual(
    { ...made, secret, prefix, rotatedAt },
    { ...kept, secret, prefix, rotatedAt: "2026-03-01T10:00:00Z" },
  );
  assert.match(String(secret), /^sk-[A-Za-z0-9_-]{43}$/);
  assert.notEqual(secret, made?.secret);
  assert.equal(await findInferenceKey(ctx, inferenceKeyHash(String(made?.secret))), undefined);
  const found = await findInferenceKey(ctx, inferenceKeyHash(String(secret)));
  assert.deepEqual(
    [found?.keyId, found?.scopes, found?.expiresAt],
    [made?.id, ["catalog"], new Date(expiresAt)],
  );
  const listed = (await call(ada, "GET", "/v1/users/api-keys")).body.apiKeys?.[0];
  assert.deepEqual([listed?.id, listed?.secret, listed?.prefix], [made?.id, "", prefix]);
});

test("with a grace the old secret opens until then, never past the key's own end, and only the last old one", async (t) => {
  const { call, ctx, person } = await setup(t);
  const ada = await person("Ada");
  const make = async (expiresAt?: string) =>
    (await call(ada, "POST", "/v1/users/api-keys", { ...(expiresAt && { expiresAt }) })).body.apiKey;
  const rotate = async (key: Json | undefined, graceSeconds: number) =>
    (await call(ada, "POST", `/v1/users/api-keys/${key?.id}:rotate`, { graceSeconds })).body.apiKey;
  const endOf = async (key: Json | undefined) => {
    const found = await findInferenceKey(ctx, inferenceKeyHash(String(key?.secret)));
    return found && (found.expiresAt?.toISOString() ?? "never");
  };
  const first = await make();
  const second = await rotate(first, 3_600);
  assert.equal(second?.previousSecretEndsAt, "2026-03-01T11:00:00Z");
  assert.deepEqual([await endOf(first), await endOf(second)], ["2026-03-01T11:00:00.000Z", "never"]);
  const third = await rotate(second, 60);
  assert.deepEqual(
    [await endOf(first), await endOf(second), await endOf(third)],
    [undefined, "2026-03-01T10:01:00.000Z", "never"],
  );
  const brief = await make("2026-03-01T10:30:00Z");
  const later = await rotate(brief, 3_600);
  const end = "2026-03-01T10:30:00.000Z";
  assert.deepEqual([await endOf(brief), await endOf(later)], [end, end]);
  assert.equal((await call(ada, "DELETE", `/v1/users/api-keys/${third?.id}`)).status, 200);
  assert.deepEqual([await endOf(second), await endOf(third)], [undefined, undefined]);
});

test("a repeated rotation under its Idempotency-Key gives the same secret again", async (t) => {
  const { call, ctx, person } = await setup(t);
  const ada = await person("Ada");
  const { apiKey } = (await call(ada, "POST", "/v1/users/api-keys", {})).body;
  const rotate = () =>
    call(ada, "POST", `/v1/users/api-keys/${apiKey?.id}:rotate`, {}, { "idempotency-key": "once" });
  const first = await rotate();
  assert.deepEqual((await rotate()).body, first.body);
  const secret = String(first.body.apiKey?.secret);
  assert.equal((await findInferenceKey(ctx, inferenceKeyHash(secret)))?.keyId, apiKey?.id);
});

test("what can't be rotated says why, and another's key is not there", async (t) => {
  const { call, person, advance } = await setup(t);
  const [ada, eve, admin] = [await person("Ada"), await person("Eve"), await person("Root", "ADMIN")];
  const make = async (body: object) => (await call(ada, "POST", "/v1/users/api-keys", body)).body.apiKey;
  const [deleted, expired, held] = [
    await make({}),
    await make({ expiresAt: "2026-03-01T10:30:00Z" }),
    await make({}),
  ];
  await call(ada, "DELETE", `/v1/users/api-keys/${deleted?.id}`);
  advance(HOUR_MS);
  const rotate = (who: { token: string }, id: unknown, body: object = {}) =>
    call(who, "POST", `/v1/users/api-keys/${id}:rotate`, body);
  for (const key of [deleted, expired]) {
    const refused = await rotate(ada, key?.id);
    assert.deepEqual([refused.status, refused.reason], [400, "KEY_ENDED"]);
  }
  for (const id of [held?.id, ada.id]) {
    const refused = await rotate(eve, id);
    assert.deepEqual([refused.status, refused.reason], [404, "KEY_NOT_FOUND"]);
  }
  assert.equal((await rotate(ada, held?.id, { graceSeconds: 604_801 })).reason, "INVALID_FIELD");
  assert.equal((await rotate(ada, held?.id, { graceSeconds: -1 })).reason, "INVALID_FIELD");
  assert.equal((await rotate(admin, held?.id)).status, 200);
});
