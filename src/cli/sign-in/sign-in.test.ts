import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type Clock, systemClock } from "../../base/clock.ts";
import { setUserDisabled } from "../../identity/index.ts";
import { browser } from "../../openid-provider/testing/browser.ts";
import { PASSWORD, type Plane, plane, withPassword } from "../../openid-provider/testing/plane.ts";
import type { LoginFile } from "../login-file.ts";
import { type Cli, cli, type RunOptions } from "../testing/harness.ts";

const PERSON = { login: "ada@example.com", password: PASSWORD };
const TTY = { stdin: true, stderr: true };
const MINUTE_MS = 60_000;
/** An end of a login is heard of within this. */
const HEARD_MS = 2_000;

interface Setup {
  readonly given: Plane;
  readonly slipway: Cli;
  /** A clock that a test can move, for the command line alone. */
  readonly clock: Clock;
  advance(ms: number): void;
  stored(): Promise<LoginFile>;
}

async function setup(t: Parameters<typeof plane>[0]): Promise<Setup> {
  const given = await plane(t);
  await withPassword(given, given.ada);
  const slipway = await cli(t, { SLIPWAY_API_URL: given.url });
  let elapsedMs = 0;
  const clock: Clock = {
    now: () => new Date(Date.now() + elapsedMs),
    monotonicMs: systemClock.monotonicMs,
    // Nobody waits five seconds between two questions here.
    sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 20), signal),
  };
  return {
    given,
    slipway,
    clock,
    advance: (ms) => {
      elapsedMs += ms;
    },
    stored: async () =>
      JSON.parse(await readFile(join(slipway.configDir, "config.json"), "utf8")) as LoginFile,
  };
}

/** A browser in which Ada agrees to what she is shown. */
function agreeing(): NonNullable<RunOptions["openBrowser"]> {
  return async (url) => {
    const tab = browser();
    void (async () => {
      const consent = await tab.submit(await tab.open(url), PERSON);
      const back = await tab.submit(consent, {}, { action: "/consent" });
      await fetch(back.url);
    })();
    return true;
  };
}

async function loggedIn({ slipway, clock }: Setup): Promise<void> {
  const ran = await slipway.run(["login"], { isTty: TTY, openBrowser: agreeing(), clock });
  assert.equal(ran.status, 0, ran.stderr);
}

function sessionIn(file: LoginFile, { given }: Setup) {
  const login = file.logins[given.url];
  assert.ok(login?.session);
  return { ...login, session: login.session };
}

test("login opens the browser, keeps what it got for its user's eyes, and later commands use it", async (t) => {
  const all = await setup(t);
  const { slipway, clock } = all;
  const ran = await slipway.run(["login"], { isTty: TTY, openBrowser: agreeing(), clock });
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stdout, /as Ada/);
  const { token, session } = sessionIn(await all.stored(), all);
  assert.ok(
    !(ran.stdout + ran.stderr).includes(token) && !(ran.stdout + ran.stderr).includes(session.refreshToken),
  );
  assert.equal((await stat(join(slipway.configDir, "config.json"))).mode & 0o777, 0o600);
  const whoami = await slipway.run(["whoami"], { clock });
  assert.match(whoami.stdout, /user +Ada/);
  assert.match(whoami.stdout, /token from +stored login/);
});

test("without a browser, and with --device, a code is used in a browser elsewhere", async (t) => {
  const { given, slipway, clock } = await setup(t);
  for (const args of [["login"], ["login", "--device"]]) {
    const tab = browser();
    let shown = "";
    const running = slipway.run(args, {
      clock,
      isTty: TTY,
      onError: (text) => {
        const code = /code:\s+(\S+)/.exec(text)?.[1];
        if (code === undefined || shown !== "") return;
        shown = code;
        void (async () => {
          const confirm = await tab.submit(await tab.open(`${given.url}/oidc/device`), { user_code: code });
          const login = await tab.submit(confirm, { confirm: "yes" });
          await tab.submit(await tab.submit(login, PERSON), {}, { action: "/consent" });
        })();
      },
    });
    const ran = await running;
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stdout, /as Ada/);
  }
});

test("who cancels in the browser is not logged in", async (t) => {
  const { slipway, clock } = await setup(t);
  const ran = await slipway.run(["login"], {
    clock,
    isTty: TTY,
    openBrowser: async (url) => {
      const tab = browser();
      const page = await tab.open(url);
      void tab.submit(page, {}, { action: "/abort" }).then((back) => fetch(back.url));
      return true;
    },
  });
  assert.equal(ran.status, 3, ran.stderr);
  assert.match(ran.stderr, /access_denied/);
  await assert.rejects(stat(join(slipway.configDir, "config.json")));
});

test("visits to the local port that don't know the state change nothing", async (t) => {
  const { slipway, clock } = await setup(t);
  const ran = await slipway.run(["login"], {
    clock,
    isTty: TTY,
    openBrowser: async (url) => {
      const callback = new URL(new URL(url).searchParams.get("redirect_uri") ?? "");
      for (const query of ["?error=access_denied", "?code=x&state=guess", ""]) {
        assert.equal((await fetch(`${callback.href}${query}`)).status, 404);
      }
      return agreeing()(url);
    },
  });
  assert.equal(ran.status, 0, ran.stderr);
});

test("a token that is about to end is refreshed, once for all processes that need it at the same time", async (t) => {
  const all = await setup(t);
  const { slipway, clock } = all;
  await loggedIn(all);
  const before = sessionIn(await all.stored(), all);
  all.advance(9.5 * MINUTE_MS);
  const ran = await Promise.all(Array.from({ length: 5 }, () => slipway.run(["whoami"], { clock })));
  for (const one of ran) assert.equal(one.status, 0, one.stderr);
  const after = sessionIn(await all.stored(), all);
  assert.notEqual(after.token, before.token);
  assert.notEqual(after.session.refreshToken, before.session.refreshToken);
  // A second refresh with the first token would have ended the login.
  all.advance(20 * MINUTE_MS);
  assert.equal((await slipway.run(["whoami"], { clock })).status, 0);
});

test("an ended login is told with the way out, and no token shows", async (t) => {
  const all = await setup(t);
  await loggedIn(all);
  await setUserDisabled(all.given.ctx, { userId: all.given.ada.id, disabled: true });
  all.advance(11 * MINUTE_MS);
  const ran = await all.slipway.run(["whoami"], { clock: all.clock });
  assert.equal(ran.status, 3);
  assert.match(ran.stderr, /TOKEN_EXPIRED[\s\S]*slipway login/);
  const { token, session } = sessionIn(await all.stored(), all);
  assert.ok(!ran.stderr.includes(token) && !ran.stderr.includes(session.refreshToken));
});

test("while the issuer is away a token is used to its end", async (t) => {
  const all = await setup(t);
  await loggedIn(all);
  all.advance(9.5 * MINUTE_MS);
  const away: typeof fetch = async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    if (url.includes("/oidc/")) throw new TypeError("fetch failed");
    return fetch(input, init);
  };
  assert.equal((await all.slipway.run(["whoami"], { clock: all.clock, fetch: away })).status, 0);
  all.advance(MINUTE_MS);
  const ran = await all.slipway.run(["whoami"], { clock: all.clock, fetch: away });
  assert.notEqual(ran.status, 0);
  assert.match(ran.stderr, /can't be reached/);
});

test("logout revokes: a copy of the file opens nothing, and refreshes nothing", async (t) => {
  const all = await setup(t);
  const { slipway, clock, given } = all;
  await loggedIn(all);
  const path = join(slipway.configDir, "config.json");
  const copy = await readFile(path, "utf8");
  const ran = await slipway.run(["logout", "--output", "json"], { clock });
  assert.deepEqual(ran.json(), { apiUrl: all.given.url, forgotten: true, revoked: true });
  assert.equal((await slipway.run(["whoami"], { clock })).status, 3);
  await writeFile(path, copy);
  given.advance(HEARD_MS);
  assert.match((await slipway.run(["whoami"], { clock })).stderr, /TOKEN_EXPIRED/);
  all.advance(11 * MINUTE_MS);
  assert.match((await slipway.run(["whoami"], { clock })).stderr, /TOKEN_EXPIRED/);
});

test("a machine token is stored as ever: with --token at a terminal, or piped in", async (t) => {
  const all = await setup(t);
  const { slipway, given, clock } = all;
  const piped = await slipway.run(["login"], { stdin: given.adminToken, clock });
  assert.match(piped.stdout, /as The boss/);
  assert.equal((await all.stored()).logins[given.url]?.session, undefined);
  const both = await slipway.run(["login", "--token", "--device"], { stdin: given.adminToken, clock });
  assert.equal(both.status, 2);
});

test("where nobody logs in by browser, --device says so", async (t) => {
  const given = await plane(t, { SLIPWAY_PUBLIC_URL: "http://slipway.example.com" });
  const slipway = await cli(t, { SLIPWAY_API_URL: given.url });
  const ran = await slipway.run(["login", "--device"]);
  assert.match(ran.stderr, /LOGIN_UNAVAILABLE[\s\S]*--token/);
});

test("an administrator's invitation makes a password, and with it a login", async (t) => {
  const given = await plane(t);
  const slipway = await cli(t, { SLIPWAY_API_URL: given.url });
  const env = { SLIPWAY_TOKEN: given.adminToken };
  const invited = await slipway.run(["admin", "users", "invite", "ada@example.com"], { env });
  assert.equal(invited.status, 0, invited.stderr);
  const code = /code +(\S+)/.exec(invited.stdout)?.[1] ?? "";
  const page = /page +(\S+)/.exec(invited.stdout)?.[1] ?? "";
  const tab = browser();
  await tab.submit(await tab.open(page), { code, password: PASSWORD, again: PASSWORD });
  const ran = await slipway.run(["login"], { isTty: TTY, openBrowser: agreeing() });
  assert.match(ran.stdout, /as Ada/);
  const nobody = await slipway.run(["admin", "users", "invite", "eve@example.com"], { env });
  assert.match(nobody.stderr, /USER_NOT_FOUND/);
});

test("where the operator has an issuer, login goes there, and its user is another one than the same person's elsewhere", async (t) => {
  const issuer = await plane(t);
  await withPassword(issuer, issuer.ada);
  const given = await plane(t, {
    SLIPWAY_OIDC_ISSUER: `${issuer.url}/oidc`,
    SLIPWAY_OIDC_AUDIENCE: issuer.url,
    SLIPWAY_OIDC_ALGORITHMS: "ES256",
    SLIPWAY_OIDC_CLIENT_ID: "slipway-cli",
  });
  const slipway = await cli(t, { SLIPWAY_API_URL: given.url });
  const ran = await slipway.run(["login"], { isTty: TTY, openBrowser: agreeing() });
  assert.equal(ran.status, 0, ran.stderr);
  const whoami = await slipway.run(["whoami", "--output", "json"]);
  const { user } = whoami.json() as { user: { authProvider: string; authProviderId: string; id: string } };
  assert.equal(user.authProviderId, issuer.ada.id);
  assert.notEqual(user.id, issuer.ada.id);
  const out = await slipway.run(["logout", "--output", "json"]);
  assert.deepEqual(out.json(), { apiUrl: given.url, forgotten: true, revoked: true });
});

test("what the operator's issuer wants to be asked for is asked for, at every step", async (t) => {
  const issuer = await plane(t);
  await withPassword(issuer, issuer.ada);
  const env = {
    SLIPWAY_OIDC_ISSUER: `${issuer.url}/oidc`,
    SLIPWAY_OIDC_AUDIENCE: issuer.url,
    SLIPWAY_OIDC_ALGORITHMS: "ES256",
    SLIPWAY_OIDC_CLIENT_ID: "slipway-cli",
  };
  const given = await plane(t, { ...env, SLIPWAY_OIDC_RESOURCE: issuer.url });
  const slipway = await cli(t, { SLIPWAY_API_URL: given.url });
  const asked: (string | null)[] = [];
  const spying: typeof fetch = async (input, init) => {
    if (String(input).endsWith("/oidc/token"))
      asked.push(new URLSearchParams(String(init?.body)).get("resource"));
    return fetch(input, init);
  };
  const openBrowser: RunOptions["openBrowser"] = async (url) => {
    asked.push(new URL(url).searchParams.get("resource"));
    return agreeing()(url);
  };
  const ran = await slipway.run(["login"], { isTty: TTY, openBrowser, fetch: spying });
  assert.equal(ran.status, 0, ran.stderr);
  const late: Clock = { ...systemClock, now: () => new Date(Date.now() + 9.5 * MINUTE_MS) };
  assert.equal((await slipway.run(["whoami"], { clock: late, fetch: spying })).status, 0);
  assert.deepEqual(asked, [issuer.url, issuer.url, issuer.url]);
  const wrong = await plane(t, { ...env, SLIPWAY_OIDC_RESOURCE: "https://other.example.com" });
  const elsewhere = await cli(t, { SLIPWAY_API_URL: wrong.url });
  assert.match((await elsewhere.run(["login", "--device"], { isTty: TTY })).stderr, /invalid_target/);
});

test("a control plane sends nobody to an issuer without https, nor from elsewhere to this machine", async (t) => {
  const slipway = await cli(t);
  for (const [apiUrl, issuer, words] of [
    ["https://slipway.example.com", "http://127.0.0.1:8080/oidc", /SLIPWAY_PUBLIC_URL/],
    ["http://127.0.0.1:8080", "http://login.example.com", /not https/],
  ] as const) {
    const metadata = {
      authorization_servers: [issuer],
      slipway_login: { client_id: "cli", scopes: ["openid"] },
    };
    const asked: string[] = [];
    const ran = await slipway.run(["login", "--api-url", apiUrl], {
      isTty: TTY,
      fetch: async (input) => {
        asked.push(String(input));
        return Response.json(metadata);
      },
    });
    assert.match(ran.stderr, words);
    assert.match(ran.stderr, /LOGIN_UNAVAILABLE/);
    assert.deepEqual(asked, [`${apiUrl}/.well-known/oauth-protected-resource`]);
  }
});
