import assert from "node:assert/strict";
import { test } from "node:test";
import { type Cleanup, undoAfter } from "../../test/support/cleanup.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { secretBox } from "../base/seal.ts";
import { bootstrapAdmin, getUser } from "../identity/index.ts";
import { AUDIENCE, testIssuer } from "../oidc/testing/issuer.ts";
import { type Config, loadConfig } from "./config.ts";
import { loginFinding } from "./doctor-login.ts";
import { loginOf } from "./login.ts";

async function issuerSetup(t: Cleanup, env: Record<string, string> = {}) {
  const issuer = await testIssuer(t, () => new Date());
  const config = loadConfig({ SLIPWAY_OIDC_ISSUER: issuer.url, SLIPWAY_OIDC_AUDIENCE: AUDIENCE, ...env });
  return { issuer, config };
}

async function loginIn(t: Cleanup, config: Config) {
  const { db, url } = await testDatabase(t);
  const ctx = { db, clock: systemClock, random: systemRandom, log: silentLog };
  const box = secretBox("s".repeat(32));
  const login = loginOf({ config, home: "", ctx, box, databaseUrl: url, close: async () => undefined });
  undoAfter(t, login.close);
  return { ctx, login };
}

test("with an issuer its tokens and machine tokens open the door side by side, and users log in there", async (t) => {
  const { issuer, config } = await issuerSetup(t, { SLIPWAY_OIDC_CLIENT_ID: "cli" });
  const { ctx, login } = await loginIn(t, config);
  const boss = await bootstrapAdmin(ctx, { name: "boss" });
  assert.equal((await login.authenticate(ctx, boss.token)).userId, boss.userId);
  const ada = await login.authenticate(ctx, await issuer.token());
  assert.equal((await getUser(ctx, ada.userId)).issuer, issuer.url);
  const metadata = await login.metadata();
  assert.deepEqual(metadata.authorization_servers, [issuer.url]);
  assert.deepEqual(metadata.slipway_login, { client_id: "cli", scopes: ["openid", "offline_access"] });
  assert.deepEqual(login.mounts, []);
  const page = await login.passwordPage();
  assert.ok("absentBecause" in page && page.absentBecause.includes(issuer.url));
});

test("the doctor looks at the issuer as the control plane will, and says what is wrong", async (t) => {
  const { issuer, config } = await issuerSetup(t);
  assert.equal((await loginFinding({ ...config, SLIPWAY_OIDC_CLIENT_ID: "cli" })).verdict, "ok");
  assert.match((await loginFinding(config)).message, /SLIPWAY_OIDC_CLIENT_ID/);
  assert.match(
    (await loginFinding({ ...config, SLIPWAY_OIDC_ALGORITHMS: ["ES256"] })).message,
    /no key for ES256/,
  );
  issuer.answer("metadata", "{}");
  await assert.rejects(loginFinding(config), { reason: "CONFIG_INVALID" });
  assert.equal((await loginFinding(loadConfig({}))).verdict, "ok");
  assert.equal((await loginFinding(loadConfig({ SLIPWAY_BIND: "0.0.0.0" }))).verdict, "warning");
  const proxied = { SLIPWAY_BIND: "0.0.0.0", SLIPWAY_PUBLIC_URL: "https://slipway.example.com" };
  assert.equal((await loginFinding(loadConfig(proxied))).verdict, "ok");
});
