/** People of a real Keycloak realm log in to Slipway: what it signs is let in, what it signed for others is not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { cli } from "../../src/cli/testing/harness.ts";
import { browser, type Page } from "../../src/openid-provider/testing/browser.ts";
import { plane } from "../../src/openid-provider/testing/plane.ts";
import { startKeycloak } from "./keycloak-parts.ts";

const AUDIENCE = "https://slipway.example.com";
const PERSON = { username: "ada", password: "correct horse battery" };
const SECOND_MS = 1_000;
/** So short that a refresh is seen within a test. */
const TOKEN_SECONDS = 90;

/** As the operators' guide says: a public client with PKCE and the device flow, and the API's own audience in its tokens. */
const client = (clientId: string, audience: string) => ({
  clientId,
  publicClient: true,
  standardFlowEnabled: true,
  directAccessGrantsEnabled: true,
  redirectUris: ["http://127.0.0.1/callback"],
  attributes: {
    "oauth2.device.authorization.grant.enabled": "true",
    "pkce.code.challenge.method": "S256",
  },
  protocolMappers: [
    {
      name: "audience",
      protocol: "openid-connect",
      protocolMapper: "oidc-audience-mapper",
      config: {
        "included.custom.audience": audience,
        "access.token.claim": "true",
        "id.token.claim": "false",
      },
    },
  ],
});

const person = (username: string, firstName: string) => ({
  username,
  firstName,
  lastName: "Lovelace",
  email: `${username}@example.com`,
  emailVerified: true,
  enabled: true,
  credentials: [{ type: "password", value: PERSON.password, temporary: false }],
  realmRoles: ["default-roles-slipway"],
});

const REALM = {
  realm: "slipway",
  enabled: true,
  sslRequired: "none",
  accessTokenLifespan: TOKEN_SECONDS,
  clients: [client("slipway-cli", AUDIENCE), client("another-program", "https://another.example.com")],
  users: [person("ada", "Ada"), person("eve", "Eve")],
};

interface Profile {
  readonly user: {
    readonly id: string;
    readonly authProviderId: string;
    readonly firstName: string;
    readonly userRole: string;
  };
}

test("a Keycloak realm's people are Slipway's users, by their tokens and by slipway login", async (t) => {
  const keycloak = await startKeycloak(t, REALM);
  const env = {
    SLIPWAY_OIDC_ISSUER: keycloak.issuer,
    SLIPWAY_OIDC_AUDIENCE: AUDIENCE,
    SLIPWAY_OIDC_CLIENT_ID: "slipway-cli",
  };
  const given = await plane(t, env);
  const profileBy = async (token: string): Promise<Profile> => {
    const answer = await given.call("/auth/profile", token);
    assert.equal(answer.status, 200, await answer.clone().text());
    return (await answer.json()) as Profile;
  };

  await t.test("a token for Slipway is let in as its subject, each time the same user", async () => {
    const token = await keycloak.passwordGrant("slipway-cli", PERSON.username, PERSON.password);
    const { sub } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as {
      sub: string;
    };
    const { user } = await profileBy(token);
    assert.deepEqual([user.authProviderId, user.firstName, user.userRole], [sub, "Ada", "USER_ROLE_USER"]);
    const again = await keycloak.passwordGrant("slipway-cli", PERSON.username, PERSON.password);
    assert.equal((await profileBy(again)).user.id, user.id);
    const eve = await keycloak.passwordGrant("slipway-cli", "eve", PERSON.password);
    assert.notEqual((await profileBy(eve)).user.id, user.id);
    const boss = await plane(t, { ...env, SLIPWAY_ADMIN_SUBJECTS: sub });
    const told = (await (await boss.call("/auth/profile", again)).json()) as Profile;
    assert.equal(told.user.userRole, "USER_ROLE_SUPER_ADMIN");
  });

  await t.test(
    "a token that it signed for another program opens nothing, nor does a changed one",
    async () => {
      const other = await keycloak.passwordGrant("another-program", PERSON.username, PERSON.password);
      const refused = await given.call("/auth/profile", other);
      assert.equal(refused.status, 401);
      assert.match(await refused.text(), /another audience/);
      const token = await keycloak.passwordGrant("slipway-cli", PERSON.username, PERSON.password);
      const [head, , signature] = token.split(".");
      const [, body = ""] = other.split(".");
      const mixed = [head, body, signature].join(".");
      assert.equal((await given.call("/auth/profile", mixed)).status, 401);
    },
  );

  await t.test("slipway login by browser, a refresh, and a logout that Keycloak hears of", async () => {
    const slipway = await cli(t, { SLIPWAY_API_URL: given.url });
    const ran = await slipway.run(["login"], {
      isTty: { stdin: true, stderr: true },
      clock: systemClock,
      openBrowser: async (url) => {
        void signedIn(url).then((back) => fetch(back.url));
        return true;
      },
    });
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stdout, /as Ada/);
    const late = { ...systemClock, now: () => new Date(Date.now() + (TOKEN_SECONDS - 30) * SECOND_MS) };
    assert.equal((await slipway.run(["whoami"], { clock: late })).status, 0);
    const out = await slipway.run(["logout", "--output", "json"], { clock: systemClock });
    assert.deepEqual(out.json(), { apiUrl: given.url, forgotten: true, revoked: true });
  });

  await t.test("slipway login --device, agreed to in a browser elsewhere", async () => {
    const slipway = await cli(t, { SLIPWAY_API_URL: given.url });
    const tab = browser();
    const ran = await slipway.run(["login", "--device"], {
      isTty: { stdin: true, stderr: true },
      clock: systemClock,
      onError: (text) => {
        const [, page, code] = /(http\S+)\nand give it the code:\n {2}(\S+)/.exec(text) ?? [];
        if (page !== undefined && code !== undefined) void agreed(page, code);
      },
    });
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stdout, /as Ada/);

    async function agreed(page: string, code: string): Promise<void> {
      const login = await tab.submit(await tab.open(page), { device_user_code: code });
      const consent = await tab.submit(login, PERSON);
      await tab.submit(consent, { accept: "Yes" });
    }
  });
});

/** Keycloak's own page, filled in; ends at the address that the browser is sent back to. */
async function signedIn(url: string): Promise<Page> {
  const tab = browser();
  const back = await tab.submit(await tab.open(url), PERSON);
  // What gives refresh tokens asks first, where the client says so.
  return back.status === 0 ? back : tab.submit(back, { accept: "Yes" });
}
