import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { pino } from "pino";
import { type Cleanup, undoAfter } from "../../test/support/cleanup.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { createGuardedClient } from "../base/guarded-client.ts";
import { systemRandom } from "../base/random.ts";
import { StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import {
  bootstrapAdmin,
  changeRole,
  createUser,
  getUser,
  listUsers,
  setUserDisabled,
} from "../identity/index.ts";
import {
  createOidcAuthenticate,
  fetchIssuerKeys,
  issuerKeys,
  looksLikeJwt,
  type OidcAuthenticate,
  usersOfIssuer,
} from "./index.ts";
import { AUDIENCE, type TestIssuer, testIssuer } from "./testing/issuer.ts";

const START = new Date("2026-03-01T10:00:00Z");
const SKEW_MS = 60_000;
const MINUTE_MS = 60_000;

interface Setup {
  readonly ctx: DbCtx;
  readonly issuer: TestIssuer;
  readonly authenticate: OidcAuthenticate;
  readonly logged: () => string;
  advance(ms: number): void;
}

async function setup(t: Cleanup, adminSubjects: readonly string[] = []): Promise<Setup> {
  const { db } = await testDatabase(t);
  let elapsedMs = 0;
  const now = () => new Date(START.getTime() + elapsedMs);
  const clock: Clock = { ...systemClock, now, monotonicMs: () => elapsedMs };
  let logged = "";
  const log = pino(
    { level: "trace" },
    {
      write: (line) => {
        logged += line;
      },
    },
  );
  const issuer = await testIssuer(t, now);
  const client = createGuardedClient({ allowed: [new URL(issuer.url).host], userAgent: "test" });
  undoAfter(t, client.close);
  return {
    ctx: { db, clock, random: systemRandom, log },
    issuer,
    logged: () => logged,
    authenticate: createOidcAuthenticate({
      rules: { issuer: issuer.url, audience: AUDIENCE, algorithms: ["RS256", "ES256"], clockSkewMs: SKEW_MS },
      keys: issuerKeys({ issuer: issuer.url, fetch: () => fetchIssuerKeys(client, issuer.url) }),
      userOf: usersOfIssuer(issuer.url, adminSubjects),
    }),
    advance: (ms) => {
      elapsedMs += ms;
    },
  };
}

/** Asserts a refusal, and that it says nothing of the token that was shown. */
async function refused(
  { authenticate, ctx, logged }: Setup,
  token: string,
  reason: string,
  words: RegExp = /./,
): Promise<void> {
  await assert.rejects(authenticate(ctx, token), (error: unknown) => {
    assert.ok(error instanceof StatusError, String(error));
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, words);
    for (const piece of token.split(".").filter((part) => part.length > 20)) {
      assert.ok(!JSON.stringify([error, error.message, String(error.cause)]).includes(piece));
      assert.ok(!logged().includes(piece));
    }
    return true;
  });
}

test("an access token of the issuer opens the door, and its subject becomes one user with the role USER", async (t) => {
  const given = await setup(t);
  const { ctx, issuer, authenticate } = given;
  const claims = { email: "ada@example.com", name: "Ada\u202e\n Lovelace", given_name: "Ada" };
  const [first, second] = await Promise.all([
    authenticate(ctx, await issuer.token({ ...claims, jti: "1" })),
    authenticate(ctx, await issuer.token({ ...claims, jti: "2" })),
  ]);
  assert.deepEqual(first, second);
  assert.deepEqual(first, { userId: first.userId, role: "USER", tokenId: `jwt:${first.userId}`, scopes: [] });
  const user = await getUser(ctx, first.userId);
  assert.equal(user.issuer, issuer.url);
  assert.equal(user.subject, "ada");
  assert.equal(user.email, "ada@example.com");
  assert.equal(user.displayName, "Ada Lovelace");
  await authenticate(ctx, await issuer.token({ sub: "grace" }));
  assert.equal((await listUsers(ctx, { page: 1, size: 10 })).total, 2);
});

test("an e-mail address links no accounts", async (t) => {
  const { ctx, issuer, authenticate } = await setup(t);
  const boss = await createUser(ctx, { email: "ada@example.com", role: "ADMIN" });
  const principal = await authenticate(ctx, await issuer.token({ email: "ada@example.com" }));
  assert.notEqual(principal.userId, boss.id);
  assert.equal(principal.role, "USER");
});

test("tokens that are not for us are refused, each with its reason", async (t) => {
  const given = await setup(t);
  const { issuer } = given;
  await refused(given, await issuer.token({ aud: "https://other.test" }), "TOKEN_INVALID", /audience/);
  await refused(given, await issuer.token({ aud: undefined }), "TOKEN_INVALID", /audience/);
  await refused(given, await issuer.token({ iss: "https://evil.test" }), "TOKEN_INVALID", /issuer/);
  await refused(given, await issuer.token({ iss: `${issuer.url}/` }), "TOKEN_INVALID", /issuer/);
  await refused(given, await issuer.token({ sub: undefined }), "TOKEN_INVALID", /sub/);
  await refused(given, await issuer.token({ sub: "" }), "TOKEN_INVALID", /subject/);
  await refused(given, await issuer.token({ sub: "x".repeat(256) }), "TOKEN_INVALID", /subject/);
  await refused(given, await issuer.token({ exp: undefined }), "TOKEN_INVALID", /exp/);
  await refused(given, await issuer.token({ cnf: { jkt: "thumb" } }), "TOKEN_INVALID", /bound/);
  await refused(given, await issuer.token({}, { typ: "logout+jwt" }), "TOKEN_INVALID", /kind/);
  await refused(given, `${await issuer.token()}.extra`, "TOKEN_INVALID", /neither/);
  await refused(given, "nonsense", "TOKEN_INVALID");
  await refused(given, "e30.e30.x".repeat(2_000), "TOKEN_INVALID");
  const whole = await issuer.token({ aud: [AUDIENCE, "https://other.test"] }, { typ: "JWT" });
  assert.equal((await given.authenticate(given.ctx, whole)).role, "USER");
});

test("unsigned, altered and wrongly signed tokens are refused", async (t) => {
  const given = await setup(t);
  const { issuer } = given;
  const good = await issuer.token();
  const [header = "", payload = "", signature = ""] = good.split(".");
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims: object = JSON.parse(Buffer.from(payload, "base64url").toString());
  await refused(
    given,
    `${encoded({ alg: "none", typ: "at+jwt" })}.${payload}.`,
    "TOKEN_INVALID",
    /algorithms/,
  );
  await refused(given, `${encoded({ alg: "none" })}.${payload}.${signature}`, "TOKEN_INVALID", /algorithms/);
  await refused(
    given,
    `${header}.${encoded({ ...claims, sub: "boss" })}.${signature}`,
    "TOKEN_INVALID",
    /signature/,
  );
  await refused(
    given,
    `${header}.${payload}.${signature.slice(0, -8)}AAAAAAAA`,
    "TOKEN_INVALID",
    /signature/,
  );
  // The classic: the public key as the secret of an HMAC.
  const confused = `${encoded({ alg: "HS256", kid: "key-1" })}.${payload}`;
  const mac = createHmac("sha256", "the public key").update(confused).digest("base64url");
  await refused(given, `${confused}.${mac}`, "TOKEN_INVALID", /algorithms/);
  await issuer.rotate({ alg: "ES384" });
  await refused(given, await issuer.token(), "TOKEN_INVALID", /algorithms/);
});

test("ends and beginnings are judged with the allowed skew, also for a token that was verified before", async (t) => {
  const given = await setup(t);
  const { ctx, issuer, authenticate, advance } = given;
  const seconds = START.getTime() / 1_000;
  const short = await issuer.token({ exp: seconds + 20 });
  await authenticate(ctx, short);
  advance(30_000);
  await authenticate(ctx, short);
  await refused(given, await issuer.token({ exp: seconds + 30 - 61 }), "TOKEN_EXPIRED", /slipway login/);
  await refused(given, await issuer.token({ nbf: seconds + 30 + 61 }), "TOKEN_INVALID", /not valid yet/);
  await authenticate(ctx, await issuer.token({ nbf: seconds + 30 + 50 }));
  advance(49_000);
  await authenticate(ctx, short);
  advance(2_000);
  await refused(given, short, "TOKEN_EXPIRED");
});

test("a rotated key is fetched when it first shows, a withdrawn one is forgotten", async (t) => {
  const given = await setup(t);
  const { ctx, issuer, authenticate, advance } = given;
  const old = await issuer.token();
  await authenticate(ctx, old);
  assert.deepEqual(issuer.asked, { metadata: 1, keys: 1 });
  advance(11_000);
  await issuer.rotate({ replace: true, alg: "ES256" });
  await Promise.all([1, 2, 3].map(async () => authenticate(ctx, await issuer.token())));
  assert.deepEqual(issuer.asked, { metadata: 2, keys: 2 });
  advance(MINUTE_MS);
  await refused(given, old, "TOKEN_INVALID", /does not publish/);
});

test("invented key ids make us ask the issuer at most once in ten seconds", async (t) => {
  const given = await setup(t);
  const { issuer, advance } = given;
  for (let n = 0; n < 20; n++) {
    await refused(
      given,
      await issuer.token({}, { kid: `invented-${n}` }),
      "TOKEN_INVALID",
      /does not publish/,
    );
  }
  assert.equal(issuer.asked.keys, 1);
  advance(10_000);
  for (let n = 0; n < 20; n++)
    await refused(given, await issuer.token({}, { kid: `more-${n}` }), "TOKEN_INVALID");
  assert.equal(issuer.asked.keys, 2);
  await refused(
    given,
    await issuer.token({ iss: "https://evil.test" }, { kid: "other" }),
    "TOKEN_INVALID",
    /issuer/,
  );
  assert.equal(issuer.asked.keys, 2);
});

test("keys older than ten minutes are fetched anew behind the calls that use them", async (t) => {
  const { ctx, issuer, authenticate, advance } = await setup(t);
  await authenticate(ctx, await issuer.token());
  advance(11 * MINUTE_MS);
  await authenticate(ctx, await issuer.token());
  while (issuer.asked.keys < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(issuer.asked.keys, 2);
});

test("while the issuer is down its last keys hold for an hour, then tokens are neither good nor bad", async (t) => {
  const given = await setup(t);
  const { ctx, issuer, authenticate, advance } = given;
  await authenticate(ctx, await issuer.token());
  await issuer.stop();
  advance(50 * MINUTE_MS);
  assert.equal((await authenticate(ctx, await issuer.token())).role, "USER");
  advance(11 * MINUTE_MS);
  await refused(given, await issuer.token(), "UNAVAILABLE", /could not be fetched/);
  await issuer.start();
  advance(10_000);
  await authenticate(ctx, await issuer.token());
});

test("an issuer that is down from the start, or answers nonsense, opens nothing", async (t) => {
  const given = await setup(t);
  const { ctx, issuer, authenticate, advance } = given;
  const nonsense: readonly ["metadata" | "keys", string, number?][] = [
    ["metadata", "not json"],
    ["metadata", "{}", 500],
    ["metadata", JSON.stringify({ issuer: "https://other.test", jwks_uri: `${issuer.url}/jwks` })],
    ["metadata", JSON.stringify({ issuer: issuer.url, jwks_uri: "http://169.254.169.254/latest" })],
    ["metadata", JSON.stringify({ issuer: issuer.url, jwks_uri: "file:///etc/passwd" })],
    ["keys", "[]"],
    ["keys", JSON.stringify({ keys: Array.from({ length: 101 }, () => ({ kty: "RSA" })) })],
    ["keys", `{"keys":[]${" ".repeat(300 * 1024)}}`],
  ];
  for (const [what, body, status] of nonsense) {
    issuer.answer(what, body, status);
    await refused(given, await issuer.token(), "UNAVAILABLE");
    issuer.answer(what, undefined);
    advance(10_000);
  }
  await authenticate(ctx, await issuer.token());
});

test("a disabled user is refused at once, and a changed role counts at once, though the token was verified before", async (t) => {
  const given = await setup(t);
  const { ctx, issuer, authenticate } = given;
  await bootstrapAdmin(ctx, { name: "boss" });
  const token = await issuer.token();
  const { userId } = await authenticate(ctx, token);
  await changeRole(ctx, { userId, role: "ADMIN" });
  assert.equal((await authenticate(ctx, token)).role, "ADMIN");
  await setUserDisabled(ctx, { userId, disabled: true });
  await refused(given, token, "USER_DISABLED");
  await setUserDisabled(ctx, { userId, disabled: false });
  await authenticate(ctx, token);
  assert.equal(issuer.asked.keys, 1);
});

test("scopes of ours narrow a token; an administrator without the admin scope is an ordinary user", async (t) => {
  const { ctx, issuer, authenticate } = await setup(t, ["boss"]);
  const all = await authenticate(ctx, await issuer.token({ sub: "boss", scope: "openid profile" }));
  assert.equal(all.role, "SUPER_ADMIN");
  const narrowed = await authenticate(
    ctx,
    await issuer.token({ sub: "boss", scope: "openid slipway:read slipway:everything" }),
  );
  assert.deepEqual([narrowed.role, narrowed.scopes], ["USER", ["read"]]);
});

test("a listed subject is SUPER_ADMIN, also when it was seen before it was listed", async (t) => {
  const given = await setup(t, ["boss"]);
  const { ctx, issuer, authenticate } = given;
  const user = await createUser(ctx, { identity: { issuer: issuer.url, subject: "boss" } });
  const principal = await authenticate(ctx, await issuer.token({ sub: "boss" }));
  assert.deepEqual([principal.userId, principal.role], [user.id, "SUPER_ADMIN"]);
  assert.equal((await authenticate(ctx, await issuer.token())).role, "USER");
});

test("only what has three parts is taken for a JWT", () => {
  assert.ok(looksLikeJwt("e30.e30.sig"));
  for (const other of ["swt_abc", "a.b", "a.b.c.d", "a.b c.d", "", `a.b.${"c".repeat(9_000)}`]) {
    assert.ok(!looksLikeJwt(other), other);
  }
});
