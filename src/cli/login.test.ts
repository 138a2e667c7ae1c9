import assert from "node:assert/strict";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { AdminUserService } from "../../gen/tensormesh/user/v1/admin_user_service_pb.js";
import { type User, UserRole, UserSchema } from "../../gen/tensormesh/user/v1/user_pb.js";
import { UserService } from "../../gen/tensormesh/user/v1/user_service_pb.js";
import { principalOf } from "../rpc/index.ts";
import { ADMIN_TOKEN, cli, controlPlane, typist, USER_ID, USER_TOKEN } from "./testing/harness.ts";

const MODE = 0o777;

/** A control plane that says who asks. */
async function plane(t: Parameters<typeof cli>[0]) {
  const userOf = (role: string): User =>
    create(UserSchema, {
      id: USER_ID,
      displayName: role === "SUPER_ADMIN" ? "The boss" : "Ada",
      userRole: role === "SUPER_ADMIN" ? UserRole.SUPER_ADMIN : UserRole.USER,
    });
  return controlPlane(t, (router) => {
    router.service(UserService, {
      getAuthProfile: (_request, context) => ({ user: userOf(principalOf(context).role) }),
    });
    router.service(AdminUserService, {
      listUsers: (_request, context) => ({
        users: [userOf(principalOf(context).role)],
        page: 1,
        size: 50,
        total: 1,
      }),
    });
  });
}

test("login tries a piped token, keeps it for its user's eyes only, and later commands use it", async (t) => {
  const { url } = await plane(t);
  const slipway = await cli(t);
  const login = await slipway.run(["login", "--api-url", `${url}/`], { stdin: `${USER_TOKEN}\n` });
  assert.equal(login.status, 0, login.stderr);
  assert.match(login.stdout, /as Ada/);
  const file = join(slipway.configDir, "config.json");
  assert.equal((await stat(file)).mode & MODE, 0o600);
  assert.equal((await stat(slipway.configDir)).mode & MODE, 0o700);
  assert.ok((await readFile(file, "utf8")).includes(USER_TOKEN));
  const whoami = await slipway.run(["whoami"]);
  assert.equal(whoami.status, 0, whoami.stderr);
  assert.match(whoami.stdout, /user +Ada/);
  assert.match(whoami.stdout, /role +USER/);
  assert.match(whoami.stdout, /token from +stored login/);
  const json = await slipway.run(["whoami", "--output", "json"]);
  assert.deepEqual(JSON.parse(json.stdout).user.userRole, "USER_ROLE_USER");
});

test("login takes a token pasted at a question, and shows nothing of it", async (t) => {
  const { url } = await plane(t);
  const slipway = await cli(t);
  const person = typist();
  person.type(USER_TOKEN);
  const isTty = { stdin: true, stderr: true };
  const login = await slipway.run(["login", "--api-url", url], { stdin: person.stream, isTty });
  assert.equal(login.status, 0, login.stderr);
  assert.match(login.stderr, /Access token for .* \(not shown\)/);
});

test("login takes a token from a file, and keeps nothing that the control plane refuses", async (t) => {
  const { url } = await plane(t);
  const slipway = await cli(t, { SLIPWAY_API_URL: url });
  await mkdir(slipway.configDir, { recursive: true });
  const file = join(slipway.configDir, "pasted");
  await writeFile(file, "swt_wrong\n");
  const refused = await slipway.run(["login", "--token-file", file]);
  assert.equal(refused.status, 3);
  assert.match(refused.stderr, /TOKEN_INVALID/);
  await assert.rejects(stat(join(slipway.configDir, "config.json")));
  await writeFile(file, `${USER_TOKEN}\n`);
  assert.equal((await slipway.run(["login", "--token-file", file])).status, 0);
  assert.equal((await slipway.run(["whoami"])).status, 0);
});

test("login refuses an empty answer and a file that holds more than one secret", async (t) => {
  const { url } = await plane(t);
  const slipway = await cli(t, { SLIPWAY_API_URL: url });
  assert.equal((await slipway.run(["login"], { stdin: "\n" })).status, 2);
  assert.equal(
    (await slipway.run(["login", "--token-file", "-"], { stdin: `${USER_TOKEN}\nand more\n` })).status,
    2,
  );
  assert.equal((await slipway.run(["login", "--token-file", "/nowhere/token"])).status, 2);
});

test("a stored token goes to its own control plane and to no other", async (t) => {
  const { url } = await plane(t);
  const other = await plane(t);
  const slipway = await cli(t);
  await slipway.run(["login", "--api-url", url], { stdin: USER_TOKEN });
  const elsewhere = await slipway.run(["whoami", "--api-url", other.url]);
  assert.equal(elsewhere.status, 3);
  assert.match(elsewhere.stderr, /There is no access token for/);
  await slipway.run(["login", "--api-url", other.url], { stdin: ADMIN_TOKEN });
  assert.match((await slipway.run(["whoami"])).stdout, /The boss/);
  assert.match((await slipway.run(["whoami", "--api-url", url])).stdout, /Ada/);
});

test("logout forgets one login", async (t) => {
  const { url } = await plane(t);
  const slipway = await cli(t);
  await slipway.run(["login", "--api-url", url], { stdin: USER_TOKEN });
  assert.match((await slipway.run(["logout"])).stdout, /is forgotten/);
  assert.equal((await slipway.run(["whoami"])).status, 3);
  assert.match((await slipway.run(["logout"])).stdout, /There was no token/);
});

test("settings come from the flag, then the environment, then the login, then the quickstart", async (t) => {
  const { url } = await plane(t);
  const slipway = await cli(t);
  const whoami = async (args: readonly string[], env: Record<string, string> = {}) =>
    (await slipway.run(["whoami", ...args], { env })).stdout.match(/token from +(.*)/)?.[1];
  await mkdir(slipway.installationDir, { recursive: true });
  const quickstart = {
    apiUrl: url,
    gatewayUrl: "http://127.0.0.1:2",
    adminToken: ADMIN_TOKEN,
    userToken: USER_TOKEN,
  };
  await writeFile(join(slipway.installationDir, "quickstart.json"), JSON.stringify(quickstart));
  assert.equal(await whoami([]), "quickstart");
  await slipway.run(["login", "--api-url", url], { stdin: USER_TOKEN });
  assert.equal(await whoami([]), "stored login");
  assert.equal(await whoami([], { SLIPWAY_TOKEN: USER_TOKEN }), "SLIPWAY_TOKEN");
  const file = join(slipway.configDir, "token");
  await writeFile(file, USER_TOKEN);
  assert.equal(await whoami(["--token-file", file], { SLIPWAY_TOKEN: "swt_ignored" }), "--token-file");
  const lost = await slipway.run(["whoami", "--timeout", "5"], {
    env: { SLIPWAY_API_URL: "http://127.0.0.1:1", SLIPWAY_TOKEN: "x" },
  });
  assert.match(lost.stderr, /127\.0\.0\.1:1/);
});

test("after the quickstart, commands of administrators use its administrator's token", async (t) => {
  const { url } = await plane(t);
  const slipway = await cli(t);
  await mkdir(slipway.installationDir, { recursive: true });
  const quickstart = {
    apiUrl: url,
    gatewayUrl: "http://127.0.0.1:2",
    adminToken: ADMIN_TOKEN,
    userToken: USER_TOKEN,
  };
  await writeFile(join(slipway.installationDir, "quickstart.json"), JSON.stringify(quickstart));
  assert.match((await slipway.run(["whoami"])).stdout, /Ada/);
  assert.match((await slipway.run(["admin", "users", "list"])).stdout, /The boss/);
});

test("a login file that can't be read is told without a word of it, and login replaces it", async (t) => {
  const { url } = await plane(t);
  const slipway = await cli(t, { SLIPWAY_API_URL: url });
  await mkdir(slipway.configDir, { recursive: true });
  await writeFile(join(slipway.configDir, "config.json"), `{"logins": ${USER_TOKEN}`);
  const broken = await slipway.run(["whoami"]);
  assert.equal(broken.status, 6);
  assert.match(broken.stderr, /CONFIG_INVALID/);
});

test("an address that is none, or that carries a password, is refused", async (t) => {
  const slipway = await cli(t, { SLIPWAY_TOKEN: USER_TOKEN });
  for (const url of ["ftp://example.com", "nonsense", "http://user:secret-word@example.com"]) {
    const ran = await slipway.run(["whoami", "--api-url", url]);
    assert.equal(ran.status, 2, url);
    assert.ok(!ran.stderr.includes("secret-word"));
  }
});
