import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { parsePage } from "../base/page.ts";
import { systemRandom } from "../base/random.ts";
import type { DbCtx } from "../db/db.ts";
import { listen } from "../db/listen.ts";
import {
  authenticate,
  bootstrapAdmin,
  changeRole,
  createAccessToken,
  createApiKey,
  createUser,
  deleteApiKey,
  findInferenceKey,
  findUser,
  getUserProfile,
  inferenceKeyHash,
  listAccessTokens,
  listApiKeys,
  listUsers,
  noteKeyUses,
  type Principal,
  platformUser,
  revokeAccessToken,
  rotateApiKey,
  setUserDisabled,
  type User,
} from "./index.ts";
import { tokenQuery } from "./list-access-tokens.ts";

const START = new Date("2026-03-01T10:00:00Z");
const MINUTE_MS = 60_000;

interface Setup {
  readonly ctx: DbCtx;
  readonly url: string;
  advance(ms: number): void;
}

async function setup(t: Cleanup): Promise<Setup> {
  const { db, url } = await testDatabase(t);
  let now = START.getTime();
  const clock: Clock = { ...systemClock, now: () => new Date(now) };
  return {
    ctx: { db, clock, random: systemRandom, log: silentLog },
    url,
    advance: (ms) => {
      now += ms;
    },
  };
}

const principalOf = (user: User): Principal => ({
  userId: user.id,
  role: user.role,
  tokenId: "t",
  scopes: [],
});

test("a token opens the door as its user, is kept as a hash only, and is counted as used once a minute", async (t) => {
  const { ctx, advance } = await setup(t);
  const user = await createUser(ctx, { displayName: "Ada" });
  const { id, token } = await createAccessToken(ctx, {
    userId: user.id,
    name: "ci",
    scopes: [],
    expiresAt: null,
  });
  assert.match(token, /^swt_[A-Za-z0-9_-]{43}$/);
  assert.deepEqual(await authenticate(ctx, token), {
    userId: user.id,
    role: "USER",
    tokenId: id,
    scopes: [],
  });
  const { rows } = await sql<{
    row: string;
  }>`select to_jsonb(access_token)::text as row from access_token`.execute(ctx.db);
  assert.ok(!rows[0]?.row.includes(token.slice(10)), "the secret is nowhere in the row");

  const lastUsed = async () => {
    const page = parsePage({ pageSize: 0, pageToken: "" }, "");
    const { tokens } = await listAccessTokens(ctx, { userId: user.id, includeRevoked: false, page });
    return tokens[0]?.lastUsedAt?.toISOString();
  };
  assert.equal(await lastUsed(), START.toISOString());
  advance(MINUTE_MS - 1);
  await authenticate(ctx, token);
  assert.equal(await lastUsed(), START.toISOString());
  advance(1);
  await authenticate(ctx, token);
  assert.equal(await lastUsed(), "2026-03-01T10:01:00.000Z");
});

test("each way in which a token does not open has its own reason", async (t) => {
  const { ctx, advance } = await setup(t);
  const user = await createUser(ctx, {});
  const make = (expiresAt: Date | null) =>
    createAccessToken(ctx, { userId: user.id, name: "", scopes: [], expiresAt });
  await assert.rejects(authenticate(ctx, ""), { code: "UNAUTHENTICATED", reason: "TOKEN_MISSING" });
  const unknown = `swt_${"x".repeat(43)}`;
  for (const wrong of ["nonsense", unknown, "swt_", `swt_${"é".repeat(1_000)}`, "swt_\0"]) {
    await assert.rejects(authenticate(ctx, wrong), { code: "UNAUTHENTICATED", reason: "TOKEN_INVALID" });
  }
  const brief = await make(new Date(START.getTime() + 1_000));
  const revoked = await make(null);
  await revokeAccessToken(ctx, { tokenId: revoked.id });
  await revokeAccessToken(ctx, { tokenId: revoked.id });
  await assert.rejects(authenticate(ctx, revoked.token), { reason: "TOKEN_INVALID" });
  await authenticate(ctx, brief.token);
  advance(1_000);
  await assert.rejects(authenticate(ctx, brief.token), { code: "UNAUTHENTICATED", reason: "TOKEN_EXPIRED" });
  const held = await make(null);
  await setUserDisabled(ctx, { userId: user.id, disabled: true });
  await assert.rejects(authenticate(ctx, held.token), { code: "PERMISSION_DENIED", reason: "USER_DISABLED" });
  await setUserDisabled(ctx, { userId: user.id, disabled: false });
  await authenticate(ctx, held.token);
  await assert.rejects(revokeAccessToken(ctx, { tokenId: user.id }), { reason: "KEY_NOT_FOUND" });
});

test("a token's scopes narrow its user: without admin an administrator is an ordinary user", async (t) => {
  const { ctx } = await setup(t);
  const { userId } = await bootstrapAdmin(ctx, { name: "Root" });
  const { token } = await createAccessToken(ctx, { userId, name: "", scopes: ["write"], expiresAt: null });
  const principal = await authenticate(ctx, token);
  assert.deepEqual([principal.role, principal.scopes], ["USER", ["write"]]);
  const bad = { userId, name: "", scopes: ["root"], expiresAt: START };
  await assert.rejects(createAccessToken(ctx, bad), (error: { violations: { field: string }[] }) => {
    assert.deepEqual(
      error.violations.map((one) => one.field),
      ["scopes", "expires_at"],
    );
    return true;
  });
});

test("bootstrap makes one SUPER_ADMIN who is the platform, however often and however many at once", async (t) => {
  const { ctx } = await setup(t);
  const made = await Promise.all([1, 2, 3].map(() => bootstrapAdmin(ctx, { name: "Root" })));
  assert.equal(new Set(made.map((one) => one.userId)).size, 1);
  assert.equal(new Set(made.map((one) => one.token)).size, 3);
  for (const one of made) assert.equal((await authenticate(ctx, one.token)).role, "SUPER_ADMIN");
  const { total } = await listUsers(ctx, { page: 0, size: 0 });
  assert.equal(total, 1);
  assert.equal((await platformUser(ctx))?.id, made[0]?.userId);
});

test("bootstrap brings back an administrator who was demoted or disabled", async (t) => {
  const { ctx } = await setup(t);
  const first = await bootstrapAdmin(ctx, { name: "Root" });
  const other = await createUser(ctx, { role: "SUPER_ADMIN" });
  await changeRole(ctx, { userId: first.userId, role: "USER" });
  await setUserDisabled(ctx, { userId: first.userId, disabled: true });
  const again = await bootstrapAdmin(ctx, { name: "Root" });
  assert.equal(again.userId, first.userId);
  assert.equal((await authenticate(ctx, again.token)).role, "SUPER_ADMIN");
  assert.equal((await findUser(ctx, other.id))?.platform, false);
});

test("the last SUPER_ADMIN is neither demoted nor disabled, even when two demote each other at once", async (t) => {
  const { ctx } = await setup(t);
  const { userId } = await bootstrapAdmin(ctx, { name: "Root" });
  const alone = { code: "FAILED_PRECONDITION", reason: "LAST_SUPER_ADMIN" };
  await assert.rejects(changeRole(ctx, { userId, role: "ADMIN" }), alone);
  await assert.rejects(setUserDisabled(ctx, { userId, disabled: true }), alone);
  const disabled = await createUser(ctx, { role: "SUPER_ADMIN" });
  await setUserDisabled(ctx, { userId: disabled.id, disabled: true });
  await assert.rejects(changeRole(ctx, { userId, role: "ADMIN" }), alone);

  const other = await createUser(ctx, { role: "SUPER_ADMIN" });
  const outcomes = await Promise.allSettled([
    changeRole(ctx, { userId, role: "USER" }),
    changeRole(ctx, { userId: other.id, role: "USER" }),
  ]);
  assert.deepEqual(outcomes.map((one) => one.status).sort(), ["fulfilled", "rejected"]);
});

test("a user is an issuer's subject; the same e-mail address makes nobody the same", async (t) => {
  const { ctx } = await setup(t);
  const identity = { issuer: "https://id.example", subject: "42" };
  const first = await createUser(ctx, { identity, email: "ada@example.com" });
  await assert.rejects(createUser(ctx, { identity }), { code: "ALREADY_EXISTS", reason: "USER_EXISTS" });
  const second = await createUser(ctx, { email: "Ada@Example.com" });
  assert.notEqual(first.id, second.id);
});

test("by e-mail, another's profile and a missing one are the same refusal to a user; an administrator sees both", async (t) => {
  const { ctx } = await setup(t);
  const me = await createUser(ctx, { email: "me@example.com" });
  const other = await createUser(ctx, { email: "other@example.com" });
  const missing = systemRandom.uuid();
  const ask = (user: User, userId: string, userEmail = "") =>
    getUserProfile(ctx, principalOf(user), { userId, userEmail });
  const denied = { code: "PERMISSION_DENIED", reason: "NOT_ALLOWED" };
  assert.equal((await ask(me, "", "ME@example.com")).id, me.id);
  for (const [id, email] of [
    ["", "other@example.com"],
    ["", "nobody@example.com"],
    [me.id, "other@example.com"],
  ] as const) {
    await assert.rejects(ask(me, id, email), denied);
  }
  const admin = await createUser(ctx, { role: "ADMIN" });
  assert.equal((await ask(admin, other.id)).id, other.id);
  assert.equal((await ask(admin, "", "Other@Example.com")).id, other.id);
  await assert.rejects(ask(admin, missing), { code: "NOT_FOUND", reason: "USER_NOT_FOUND" });
  await assert.rejects(ask(admin, "", "nobody@example.com"), { reason: "USER_NOT_FOUND" });
  await assert.rejects(ask(admin, me.id, "other@example.com"), { reason: "USER_NOT_FOUND" });
  const twin = await createUser(ctx, { email: "other@example.com" });
  await assert.rejects(ask(admin, "", "other@example.com"), { code: "INVALID_ARGUMENT" });
  assert.equal((await ask(admin, twin.id, "other@example.com")).id, twin.id);
});

test("a key is shown once, found by its hash, and gone for the gateway once it is deleted", async (t) => {
  const { ctx } = await setup(t);
  const user = await createUser(ctx, {});
  const { apiKey, secret } = await createApiKey(ctx, {
    userId: user.id,
    name: "laptop",
    scopes: ["catalog"],
    expiresAt: new Date(START.getTime() + MINUTE_MS),
  });
  assert.match(secret, /^sk-[A-Za-z0-9_-]{43}$/);
  const hash = inferenceKeyHash(secret);
  assert.deepEqual(await findInferenceKey(ctx, hash), {
    keyId: apiKey.id,
    userId: user.id,
    scopes: ["catalog"],
    expiresAt: apiKey.expiresAt,
    disabled: false,
  });
  await setUserDisabled(ctx, { userId: user.id, disabled: true });
  assert.equal((await findInferenceKey(ctx, hash))?.disabled, true);
  const rows = await sql<{
    row: string;
  }>`select to_jsonb(inference_key)::text as row from inference_key`.execute(ctx.db);
  assert.ok(!rows.rows[0]?.row.includes(secret.slice(10)));

  await deleteApiKey(ctx, { principal: principalOf(user), keyId: apiKey.id });
  await deleteApiKey(ctx, { principal: principalOf(user), keyId: apiKey.id });
  assert.equal(await findInferenceKey(ctx, hash), undefined);
  assert.deepEqual(await listApiKeys(ctx, { userId: user.id, includeDeleted: false }), []);
  const [deleted] = await listApiKeys(ctx, { userId: user.id, includeDeleted: true });
  assert.deepEqual([deleted?.id, deleted?.deletedAt?.toISOString()], [apiKey.id, START.toISOString()]);
});

test("only its user and administrators delete a key; to others it is not there", async (t) => {
  const { ctx } = await setup(t);
  const [owner, other] = [await createUser(ctx, {}), await createUser(ctx, {})];
  const admin = await createUser(ctx, { role: "ADMIN" });
  const make = () => createApiKey(ctx, { userId: owner.id, name: "", scopes: [], expiresAt: null });
  const { apiKey, secret } = await make();
  const gone = { code: "NOT_FOUND", reason: "KEY_NOT_FOUND" };
  await assert.rejects(deleteApiKey(ctx, { principal: principalOf(other), keyId: apiKey.id }), gone);
  await assert.rejects(deleteApiKey(ctx, { principal: principalOf(owner), keyId: owner.id }), gone);
  assert.ok(await findInferenceKey(ctx, inferenceKeyHash(secret)));
  await deleteApiKey(ctx, { principal: principalOf(admin), keyId: apiKey.id });
  assert.equal(await findInferenceKey(ctx, inferenceKeyHash(secret)), undefined);
});

test("uses of keys are noted to the minute from batches in any order", async (t) => {
  const { ctx } = await setup(t);
  const user = await createUser(ctx, {});
  const { apiKey } = await createApiKey(ctx, { userId: user.id, name: "", scopes: [], expiresAt: null });
  const later = (ms: number) => new Date(START.getTime() + ms);
  const lastUsed = async () =>
    (await listApiKeys(ctx, { userId: user.id, includeDeleted: true }))[0]?.lastUsedAt;
  await noteKeyUses(ctx, []);
  await noteKeyUses(ctx, [
    { keyId: apiKey.id, at: later(5_000) },
    { keyId: apiKey.id, at: later(1_000) },
    { keyId: systemRandom.uuid(), at: later(0) },
  ]);
  assert.deepEqual(await lastUsed(), later(5_000));
  await noteKeyUses(ctx, [{ keyId: apiKey.id, at: later(6_000) }]);
  assert.deepEqual(await lastUsed(), later(5_000));
  await noteKeyUses(ctx, [{ keyId: apiKey.id, at: later(5_000 + MINUTE_MS) }]);
  assert.deepEqual(await lastUsed(), later(5_000 + MINUTE_MS));
});

test("tokens and users are listed page by page, each once", async (t) => {
  const { ctx, advance } = await setup(t);
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) {
    const user = await createUser(ctx, { displayName: `user ${i}` });
    await createAccessToken(ctx, { userId: user.id, name: `token ${i}`, scopes: [], expiresAt: null });
    ids.push(user.id);
    if (i % 2 === 1) advance(1);
  }
  const names: string[] = [];
  let pageToken = "";
  do {
    const input = { userId: "", includeRevoked: true };
    const page = parsePage({ pageSize: 2, pageToken }, tokenQuery(input));
    const answer = await listAccessTokens(ctx, { ...input, page });
    names.push(...answer.tokens.map((token) => token.name));
    pageToken = answer.nextPageToken;
  } while (pageToken !== "");
  assert.deepEqual([...names].sort(), ["token 0", "token 1", "token 2", "token 3", "token 4"]);
  assert.equal(names[0], "token 4");
  const pages = await Promise.all([1, 2, 3].map((page) => listUsers(ctx, { page, size: 2 })));
  assert.deepEqual(pages.flatMap((page) => page.users.map((user) => user.id)).sort(), [...ids].sort());
  assert.deepEqual(
    pages.map((page) => [page.page, page.size, page.total]),
    [
      [1, 2, 5],
      [2, 2, 5],
      [3, 2, 5],
    ],
  );
});

test("gateways hear of every change to a key or a user", async (t) => {
  const { ctx, url } = await setup(t);
  const heard: string[] = [];
  const ready = Promise.withResolvers<void>();
  const stop = listen({
    url,
    channels: ["slipway_routes"],
    log: silentLog,
    clock: systemClock,
    onNotify: (_channel, payload) => heard.push(payload),
    onConnect: ready.resolve,
  });
  t.after(stop);
  await ready.promise;
  const user = await createUser(ctx, {});
  const { apiKey } = await createApiKey(ctx, { userId: user.id, name: "", scopes: [], expiresAt: null });
  const key = { principal: principalOf(user), keyId: apiKey.id };
  await rotateApiKey(ctx, { ...key, graceMs: 0 });
  await deleteApiKey(ctx, key);
  await changeRole(ctx, { userId: user.id, role: "ADMIN" });
  await setUserDisabled(ctx, { userId: user.id, disabled: true });
  const expected = [...Array(3).fill(`key:${apiKey.id}`), `user:${user.id}`, `user:${user.id}`];
  while (heard.length < expected.length) await systemClock.sleep(5);
  assert.deepEqual(heard, expected);
});
