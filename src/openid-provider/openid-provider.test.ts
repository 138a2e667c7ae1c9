import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "kysely";
import * as client from "openid-client";
import { createAccessToken, createUser, setUserDisabled } from "../identity/index.ts";
import { CLI_CLIENT_ID, CLI_SCOPES } from "./index.ts";
import { type Browser, browser, type Page } from "./testing/browser.ts";
import { PASSWORD, type Plane, plane, withPassword } from "./testing/plane.ts";

const REDIRECT = "http://127.0.0.1:49152/callback";
const LOGIN = { login: "ADA@example.com", password: PASSWORD };
const MINUTE_MS = 60_000;

function discovered({ url }: Plane): Promise<client.Configuration> {
  return client.discovery(new URL(`${url}/oidc`), CLI_CLIENT_ID, undefined, client.None(), {
    execute: [client.allowInsecureRequests],
  });
}

interface Begun {
  readonly config: client.Configuration;
  readonly verifier: string;
  readonly page: Page;
}

/** The browser at the login page, sent there by a command line. */
async function begun(given: Plane, tab: Browser, extra: Record<string, string> = {}): Promise<Begun> {
  const config = await discovered(given);
  const verifier = client.randomPKCECodeVerifier();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT,
    scope: CLI_SCOPES.join(" "),
    prompt: "consent",
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state: "the-state",
    ...extra,
  });
  return { config, verifier, page: await tab.open(url.href) };
}

async function loggedIn(given: Plane, tab = browser()) {
  const { config, verifier, page } = await begun(given, tab);
  const consent = await tab.submit(page, LOGIN);
  assert.match(consent.text, /Slipway command line/);
  const back = await tab.submit(consent, {}, { action: "/consent" });
  assert.ok(back.url.startsWith(`${REDIRECT}?`), back.text);
  const checks = { pkceCodeVerifier: verifier, expectedState: "the-state" };
  const tokens = await client.authorizationCodeGrant(config, new URL(back.url), checks);
  return { config, tokens, back, checks };
}

test("an invited user logs in by browser and gets a token that opens the control plane as that user", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const { tokens } = await loggedIn(given);
  const answer = await given.call("/auth/profile", tokens.access_token);
  assert.equal(answer.status, 200, await answer.clone().text());
  const { user } = (await answer.json()) as { user: { id: string; authProvider: string } };
  assert.equal(user.id, given.ada.id);
  assert.equal(tokens.expires_in, 600);
  assert.equal(tokens.claims()?.sub, given.ada.id);
});

test("the protected resource tells where to log in, and with which client", async (t) => {
  const given = await plane(t);
  const found = await fetch(`${given.url}/.well-known/oauth-protected-resource`);
  assert.deepEqual(await found.json(), {
    resource: given.url,
    resource_name: "Slipway",
    authorization_servers: [`${given.url}/oidc`],
    bearer_methods_supported: ["header"],
    scopes_supported: ["slipway:read", "slipway:write", "slipway:admin"],
    slipway_login: { client_id: CLI_CLIENT_ID, scopes: [...CLI_SCOPES] },
  });
});

test("an administrator invites by the wire; the code sets a password once, and no other code does", async (t) => {
  const given = await plane(t);
  const path = `/v1/admin/users/${given.ada.id}:invite`;
  const init = { method: "POST", body: "{}" };
  const first = (await (await given.call(path, given.adminToken, init)).json()) as Record<string, string>;
  const second = (await (await given.call(path, given.adminToken, init)).json()) as Record<string, string>;
  assert.equal(second.login, "ada@example.com");
  assert.equal(second.passwordUrl, `${given.url}/oidc/password`);
  const tab = browser();
  const set = async (code: string | undefined, password: string, again = password) =>
    tab.submit(await tab.open(second.passwordUrl ?? ""), { code: code ?? "", password, again });
  assert.match((await set(first.code, PASSWORD)).text, /unknown, was used, or has expired/);
  assert.match((await set(second.code, PASSWORD, "another one, sorry")).text, /differ/);
  assert.match((await set(second.code, "short")).text, /at least 12 characters/);
  assert.match((await set(second.code, "aaaaaaaaaaaaaaaa")).text, /same few/);
  assert.match((await set(second.code, "ada@example.com!!")).text, /address/);
  assert.match((await set(second.code, PASSWORD)).text, /Your password is set/);
  assert.match((await set(second.code, PASSWORD)).text, /unknown, was used, or has expired/);
  await loggedIn(given);
  const { rows } = await sql`select row_to_json(password_login)::text as all from password_login`.execute(
    given.ctx.db,
  );
  assert.ok(!JSON.stringify(rows).includes(PASSWORD));
});

test("a code that was sent ends after three days", async (t) => {
  const given = await plane(t);
  const path = `/v1/admin/users/${given.ada.id}:invite`;
  const invited = await given.call(path, given.adminToken, { method: "POST", body: "{}" });
  const { code = "" } = (await invited.json()) as Record<string, string>;
  assert.match(code, /^swi_/);
  given.advance(72 * 60 * MINUTE_MS);
  const tab = browser();
  const fields = { code, password: PASSWORD, again: PASSWORD };
  assert.match((await tab.submit(await tab.open(`${given.url}/oidc/password`), fields)).text, /has expired/);
});

test("wrong passwords and unknown names are told alike, and are limited", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const tab = browser();
  const { page } = await begun(given, tab);
  const wrong = await tab.submit(page, { ...LOGIN, password: "not the password" });
  const unknown = await tab.submit(page, { ...LOGIN, login: "eve@example.com" });
  assert.equal(wrong.status, 401);
  assert.equal(unknown.status, 401);
  const told = (shown: Page) => /role="alert">([^<]*)/.exec(shown.text)?.[1];
  assert.equal(told(wrong), told(unknown));
  await Promise.all(
    Array.from({ length: 8 }, () => tab.submit(page, { ...LOGIN, password: "guess after guess" })),
  );
  const limited = await tab.submit(page, LOGIN);
  assert.equal(limited.status, 429);
  assert.match(limited.text, /Too many attempts/);
  assert.ok(Number(limited.headers.get("retry-after")) > 0);
  given.advance(15 * MINUTE_MS);
  await loggedIn(given);
});

test("forms from elsewhere, without their token or without their cookie are refused", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const tab = browser();
  const { page } = await begun(given, tab);
  for (const headers of [
    { origin: "https://evil.test" },
    { origin: "null" },
    { "sec-fetch-site": "cross-site" },
  ]) {
    const refused = await tab.submit(page, LOGIN, { headers });
    assert.equal(refused.status, 403, JSON.stringify(headers));
    assert.doesNotMatch(refused.text, /command line<\/strong> asks/);
  }
  assert.equal((await tab.submit(page, { ...LOGIN, csrf: "another" })).status, 403);
  assert.equal((await browser().submit(page, LOGIN)).status, 404);
  const password = await tab.open(`${given.url}/oidc/password`);
  const fields = { code: "swi_x", password: PASSWORD, again: PASSWORD };
  assert.equal(
    (await tab.submit(password, fields, { headers: { origin: "https://evil.test" } })).status,
    403,
  );
  assert.equal((await tab.submit(page, { ...LOGIN, junk: "x".repeat(20_000) })).status, 400);
});

test("pages run no scripts, are framed by nobody and kept by nobody, and cookies are for us alone", async (t) => {
  const given = await plane(t);
  const tab = browser();
  const { page } = await begun(given, tab);
  for (const shown of [
    page,
    await tab.open(`${given.url}/oidc/password`),
    await tab.open(`${given.url}/oidc/device`),
  ]) {
    const policy = shown.headers.get("content-security-policy") ?? "";
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.doesNotMatch(shown.text, /<script|onfocus|onload|http:\/\/(?!127)|https:/);
    assert.equal(shown.headers.get("cache-control"), "no-store", shown.url);
    assert.equal(shown.headers.get("x-content-type-options"), "nosniff");
  }
  assert.ok(tab.cookies.size > 0);
  for (const [name, cookie] of tab.cookies) {
    assert.match(cookie.attributes, /httponly/i, name);
    assert.match(cookie.attributes, /samesite=lax/i, name);
    assert.match(cookie.path, /^\/oidc/, name);
  }
});

test("what is typed never becomes markup", async (t) => {
  const given = await plane(t);
  const tab = browser();
  const { page } = await begun(given, tab);
  const evil = `"><script>alert(1)</script>`;
  for (const shown of [
    await tab.submit(page, { login: evil, password: "guess after guess" }),
    await tab.submit(await tab.open(`${given.url}/oidc/password`), { code: evil, password: "a", again: "b" }),
    await tab.open(`${given.url}/oidc/auth?client_id=${encodeURIComponent(evil)}`),
  ]) {
    assert.doesNotMatch(shown.text, /<script>/);
  }
});

test("the Host header of a request decides nothing", async (t) => {
  const given = await plane(t);
  const answer = await fetch(`${given.url}/oidc/.well-known/openid-configuration`, {
    headers: { "x-forwarded-host": "evil.test", "x-forwarded-proto": "https", forwarded: "host=evil.test" },
  });
  const metadata = (await answer.json()) as Record<string, unknown>;
  assert.equal(metadata.token_endpoint, `${given.url}/oidc/token`);
  assert.ok(!JSON.stringify(metadata).includes("evil"));
});

test("only the command line's own redirect, with PKCE, is served", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const tab = browser();
  const elsewhere = await begun(given, tab, { redirect_uri: "https://evil.test/callback" });
  assert.equal(elsewhere.page.status, 400);
  assert.ok(elsewhere.page.url.startsWith(given.url));
  const path = await begun(given, tab, { redirect_uri: "http://127.0.0.1:49152/other" });
  assert.equal(path.page.status, 400);
  const url = new URL(`${given.url}/oidc/auth`);
  url.search = new URLSearchParams({
    client_id: CLI_CLIENT_ID,
    response_type: "code",
    redirect_uri: REDIRECT,
    scope: "openid",
  }).toString();
  assert.match((await tab.open(url.href)).url, /error=invalid_request/);
  const other = await begun(given, tab, { resource: "https://other.test" });
  assert.match(other.page.url, /error=invalid_target/);
});

test("a code is good once, also for two who show it at once, and for nobody without its verifier", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const { config, back, checks } = await loggedIn(given);
  await assert.rejects(client.authorizationCodeGrant(config, new URL(back.url), checks), {
    error: "invalid_grant",
  });

  const tab = browser();
  const again = await begun(given, tab);
  const consent = await tab.submit(again.page, LOGIN);
  const code = new URL((await tab.submit(consent, {}, { action: "/consent" })).url);
  const wrong = { ...checks, pkceCodeVerifier: client.randomPKCECodeVerifier() };
  await assert.rejects(client.authorizationCodeGrant(config, code, wrong), { error: "invalid_grant" });
  const right = { ...checks, pkceCodeVerifier: again.verifier };
  const all = await Promise.allSettled(
    [1, 2, 3, 4].map(() => client.authorizationCodeGrant(config, code, right)),
  );
  assert.ok(all.filter((one) => one.status === "fulfilled").length <= 1);
});

test("refresh tokens rotate; the use of an old one ends the login", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const { config, tokens } = await loggedIn(given);
  const next = await client.refreshTokenGrant(config, tokens.refresh_token ?? "");
  assert.notEqual(next.refresh_token, tokens.refresh_token);
  assert.equal((await given.call("/auth/profile", next.access_token)).status, 200);
  await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token ?? ""), {
    error: "invalid_grant",
  });
  await assert.rejects(client.refreshTokenGrant(config, next.refresh_token ?? ""), {
    error: "invalid_grant",
  });
});

test("a revoked refresh token refreshes nothing", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const { config, tokens } = await loggedIn(given);
  await client.tokenRevocation(config, tokens.refresh_token ?? "");
  await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token ?? ""), {
    error: "invalid_grant",
  });
});

test("a disabled user is refused at once, refreshes nothing and can't log in", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const { config, tokens } = await loggedIn(given);
  assert.equal((await given.call("/auth/profile", tokens.access_token)).status, 200);
  await setUserDisabled(given.ctx, { userId: given.ada.id, disabled: true });
  assert.equal((await given.call("/auth/profile", tokens.access_token)).status, 403);
  await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token ?? ""), {
    error: "invalid_grant",
  });
  const tab = browser();
  const { page } = await begun(given, tab);
  assert.match((await tab.submit(page, LOGIN)).text, /disabled/);
});

/** An end is heard of within this. */
const HEARD_MS = 2_000;

test("a login that ends takes its access tokens with it, and no other login's", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const { config, tokens } = await loggedIn(given);
  const other = await loggedIn(given);
  const status = async (token: string) => (await given.call("/auth/profile", token)).status;
  assert.deepEqual([await status(tokens.access_token), await status(other.tokens.access_token)], [200, 200]);
  await client.tokenRevocation(config, tokens.refresh_token ?? "");
  given.advance(HEARD_MS);
  assert.deepEqual([await status(tokens.access_token), await status(other.tokens.access_token)], [401, 200]);
  await withPassword(given, given.ada, "another fine password");
  given.advance(HEARD_MS);
  assert.equal(await status(other.tokens.access_token), 401);
});

test("signing keys are replaced while the process runs, and logins go on", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const before = await loggedIn(given);
  const keyOf = (token: string) =>
    (JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()) as { kid: string }).kid;
  const published = async () =>
    ((await (await fetch(`${given.url}/oidc/jwks`)).json()) as { keys: { kid: string }[] }).keys.map(
      ({ kid }) => kid,
    );
  const first = keyOf(before.tokens.access_token);
  given.advance(90 * 24 * 60 * MINUTE_MS - 60 * MINUTE_MS);
  const both = await published();
  assert.equal(both.length, 2);
  assert.equal(keyOf((await loggedIn(given)).tokens.access_token), first);
  given.advance(60 * MINUTE_MS);
  const { tokens } = await loggedIn(given);
  assert.equal(
    keyOf(tokens.access_token),
    both.find((kid) => kid !== first),
  );
});

test("a new password ends the logins of the old one", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const { config, tokens } = await loggedIn(given);
  await withPassword(given, given.ada, "another fine password");
  await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token ?? ""), {
    error: "invalid_grant",
  });
  const tab = browser();
  const { page } = await begun(given, tab);
  assert.equal((await tab.submit(page, LOGIN)).status, 401);
});

test("a device is logged in from another browser, and not by one who cancels", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const config = await discovered(given);
  const device = await client.initiateDeviceAuthorization(config, { scope: CLI_SCOPES.join(" ") });
  assert.equal(device.verification_uri, `${given.url}/oidc/device`);
  const tab = browser();
  const entry = await tab.open(device.verification_uri);
  assert.match((await tab.submit(entry, { user_code: "BBBB-BBBB" })).text, /no such code/);
  const confirm = await tab.submit(await tab.open(device.verification_uri), { user_code: device.user_code });
  assert.match(confirm.text, new RegExp(device.user_code));
  const login = await tab.submit(confirm, { confirm: "yes" });
  const consent = await tab.submit(login, LOGIN);
  const done = await tab.submit(consent, {}, { action: "/consent" });
  assert.match(done.text, /logged in/);
  const tokens = await client.pollDeviceAuthorizationGrant(config, { ...device, interval: 0.01 });
  assert.equal((await given.call("/auth/profile", tokens.access_token)).status, 200);
  assert.ok(tokens.refresh_token);

  const second = await client.initiateDeviceAuthorization(config, { scope: CLI_SCOPES.join(" ") });
  const asked = await tab.submit(await tab.open(second.verification_uri), { user_code: second.user_code });
  assert.match((await tab.submit(asked, { abort: "yes" })).text, /Cancelled/);
  const polling = client.pollDeviceAuthorizationGrant(config, { ...second, interval: 0.01 });
  await assert.rejects(polling, { error: "access_denied" });
});

test("codes, tokens, sessions and keys are in the database neither in clear nor by name", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const { tokens, back } = await loggedIn(given);
  const { rows } = await sql<{ all: string }>`
    select row_to_json(a)::text || coalesce(encode(a.payload, 'escape'), '') as all from oidc_artifact a
    union all select row_to_json(k)::text || encode(k.private_key, 'escape') from oidc_signing_key k`.execute(
    given.ctx.db,
  );
  assert.ok(rows.length >= 3);
  const stored = rows.map((row) => row.all).join("\n");
  const secrets = [
    tokens.refresh_token,
    tokens.access_token,
    new URL(back.url).searchParams.get("code"),
    '"d":',
  ];
  for (const secret of secrets) assert.ok(!stored.includes(secret ?? "?"), secret ?? "");
});

test("where passwords would go over an open wire nobody logs in, and machine tokens still do", async (t) => {
  const given = await plane(t, { SLIPWAY_PUBLIC_URL: "http://slipway.example.com" });
  const metadata = await fetch(`${given.url}/.well-known/oauth-protected-resource`);
  assert.deepEqual(((await metadata.json()) as { authorization_servers: unknown }).authorization_servers, []);
  const page = await fetch(`${given.url}/oidc/password`);
  assert.equal(page.status, 400);
  assert.match(await page.text(), /LOGIN_UNAVAILABLE/);
  assert.equal((await given.call("/auth/profile", given.adminToken)).status, 200);
  assert.equal((await given.call("/auth/profile", "e30.e30.c2ln")).status, 401);
  const invite = `/v1/admin/users/${given.ada.id}:invite`;
  const refused = await given.call(invite, given.adminToken, { method: "POST", body: "{}" });
  assert.match(await refused.text(), /LOGIN_UNAVAILABLE/);
});

test("nobody is invited who may do more than who invites, who has no address, or whose address is taken", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const admin = await createUser(given.ctx, { role: "ADMIN", email: "admin@example.com" });
  const { token } = await createAccessToken(given.ctx, {
    userId: admin.id,
    name: "",
    scopes: [],
    expiresAt: null,
  });
  const boss = await createUser(given.ctx, { role: "SUPER_ADMIN", email: "boss@example.com" });
  const nameless = await createUser(given.ctx, {});
  const twin = await createUser(given.ctx, { email: "ada@EXAMPLE.com" });
  const elsewhere = await createUser(given.ctx, {
    email: "x@example.com",
    identity: { issuer: "https://login.test", subject: "x" },
  });
  for (const [user, reason] of [
    [boss, "NOT_ALLOWED"],
    [nameless, "LOGIN_UNAVAILABLE"],
    [twin, "USER_EXISTS"],
    [elsewhere, "LOGIN_UNAVAILABLE"],
  ] as const) {
    const answer = await given.call(`/v1/admin/users/${user.id}:invite`, token, {
      method: "POST",
      body: "{}",
    });
    assert.match(await answer.text(), new RegExp(reason));
  }
});

test("behind a proxy everything is said of the public address, and cookies go over https only", async (t) => {
  const given = await plane(t, { SLIPWAY_PUBLIC_URL: "https://slipway.example.com" });
  const found = await fetch(`${given.url}/oidc/.well-known/openid-configuration`);
  const metadata = (await found.json()) as Record<string, string>;
  assert.equal(metadata.issuer, "https://slipway.example.com/oidc");
  assert.equal(metadata.authorization_endpoint, "https://slipway.example.com/oidc/auth");
  const query = new URLSearchParams({
    client_id: CLI_CLIENT_ID,
    response_type: "code",
    redirect_uri: REDIRECT,
    scope: "openid",
    code_challenge: await client.calculatePKCECodeChallenge("v".repeat(43)),
    code_challenge_method: "S256",
  });
  const begin = await fetch(`${given.url}/oidc/auth?${query}`, { redirect: "manual" });
  assert.equal(begin.status, 303);
  const cookies = begin.headers.getSetCookie();
  assert.ok(cookies.length > 0);
  for (const cookie of cookies) assert.match(cookie, /; secure/i);
});

test("who begins login after login at one address is stopped", async (t) => {
  const given = await plane(t);
  const begin = () => fetch(`${given.url}/oidc/auth?client_id=${CLI_CLIENT_ID}`, { redirect: "manual" });
  const all = await Promise.all(Array.from({ length: 70 }, begin));
  assert.equal(all.filter((answer) => answer.status === 429).length, 10);
  const device = await fetch(`${given.url}/oidc/device`, { method: "POST", body: new URLSearchParams() });
  assert.equal(device.status, 429);
  given.advance(MINUTE_MS);
  assert.notEqual((await begin()).status, 429);
});

test("invitations, passwords, logins and failed ones are in the audit log of the account", async (t) => {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const tab = browser();
  const { page } = await begun(given, tab);
  await tab.submit(page, { ...LOGIN, password: "not the password" });
  await tab.submit(page, LOGIN);
  const { rows } = await sql<{ action: string; actor: string | null; row: string }>`
    select action, actor_id as actor, row_to_json(e)::text as row from audit_event e
    where subject_id = ${given.ada.id} and action <> 'user.created' order by at, id`.execute(given.ctx.db);
  const { id } = given.ada;
  assert.deepEqual(rows.map(({ action, actor }) => [action, actor]).sort(), [
    ["user.invited", null],
    ["user.logged_in", id],
    ["user.login_failed", null],
    ["user.password_set", id],
  ]);
  for (const { row } of rows)
    assert.ok(!row.includes('password"') && !row.includes(PASSWORD) && !row.includes("swi_"));
});
