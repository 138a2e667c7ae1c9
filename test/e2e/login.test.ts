/** People log in at a whole installation, as the guides say: invited by an administrator, by the command line as its own process. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { LoginFile } from "../../src/cli/login-file.ts";
import { browser } from "../../src/openid-provider/testing/browser.ts";
import { type Cleanup, undoAfter } from "../support/cleanup.ts";
import { testInstallation } from "../support/installation.ts";
import { command, type Env, program } from "../support/program.ts";

const PASSWORD = "correct horse battery";
const PERSON = { login: "grace@example.com", password: PASSWORD };

async function configHome(t: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "slipway-login-"));
  undoAfter(t, () => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs `slipway login --device` as a person with a browser elsewhere does. */
async function deviceLogin(t: Cleanup, env: Env, apiUrl: string): Promise<void> {
  const running = program(t, ["login", "--device"], env);
  const code = await new Promise<string>((resolve, reject) => {
    running.child.stderr?.on("data", () => {
      const found = /code:\s+(\S+)/.exec(running.output())?.[1];
      if (found !== undefined) resolve(found);
    });
    void running.ended.then(() => reject(new Error(running.output())));
  });
  const tab = browser();
  const confirm = await tab.submit(await tab.open(`${apiUrl}/oidc/device`), { user_code: code });
  const consent = await tab.submit(await tab.submit(confirm, { confirm: "yes" }), PERSON);
  assert.match((await tab.submit(consent, {}, { action: "/consent" })).text, /logged in/);
  assert.equal(await running.ended, 0, running.output());
}

test("an invited user sets a password, logs in from a device, and stays logged in over a restart and in many processes", async (t) => {
  const on = await testInstallation(t);
  const folder = await configHome(t);
  const env = {
    SLIPWAY_CONFIG_HOME: folder,
    SLIPWAY_API_URL: on.apiUrl(),
    SLIPWAY_HOME: join(folder, "none"),
  };
  const asAdmin = { ...env, SLIPWAY_TOKEN: on.people.adminToken };
  const made = await command(t, ["admin", "users", "create", "Grace", "--email", PERSON.login], asAdmin);
  assert.equal(made.status, 0, made.output);
  const invited = await command(t, ["admin", "users", "invite", PERSON.login], asAdmin);
  const fact = (name: string) => new RegExp(`^${name} +(\\S+)`, "m").exec(invited.output)?.[1] ?? "";
  const tab = browser();
  const fields = { code: fact("code"), password: PASSWORD, again: PASSWORD };
  assert.match((await tab.submit(await tab.open(fact("page")), fields)).text, /Your password is set/);

  await deviceLogin(t, env, on.apiUrl());
  await on.restart();
  const path = join(folder, "config.json");
  const stored = async () => JSON.parse(await readFile(path, "utf8")) as LoginFile;
  const before = await stored();
  const login = before.logins[on.apiUrl()];
  assert.ok(login?.session);
  // As if ten minutes had passed: every process finds a token that has ended.
  const session = { ...login.session, expiresAt: new Date(0).toISOString() };
  await writeFile(path, JSON.stringify({ ...before, logins: { [on.apiUrl()]: { ...login, session } } }));
  const all = await Promise.all([1, 2, 3].map(() => command(t, ["whoami"], env)));
  for (const one of all) assert.match(one.output, /user +Grace/);
  const after = (await stored()).logins[on.apiUrl()];
  assert.notEqual(after?.session?.refreshToken, login.session.refreshToken);

  const out = await command(t, ["logout"], env);
  assert.match(out.output, /Logged out/);
  const log = on.program().output();
  for (const secret of [
    fields.code,
    PASSWORD,
    login.token,
    login.session.refreshToken,
    after?.token ?? "?",
  ]) {
    assert.ok(!log.includes(secret), "a secret is in the log");
  }
});
