/** The control plane with its embedded provider, on a port, over a database of the test's own. */
import assert from "node:assert/strict";
import { type Cleanup, undoAfter } from "../../../test/support/cleanup.ts";
import { testDatabase } from "../../../test/support/postgres.ts";
import { type Clock, systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { systemRandom } from "../../base/random.ts";
import { secretBox } from "../../base/seal.ts";
import type { DbCtx } from "../../db/db.ts";
import { bootstrapAdmin, createUser, identityRoutes, inviteUser, type User } from "../../identity/index.ts";
import { loadConfig } from "../../main/config.ts";
import { loginOf, METADATA_PATH } from "../../main/login.ts";
import * as edge from "../../rpc/index.ts";
import { browser } from "./browser.ts";

export const PASSWORD = "correct horse battery";

export interface Plane {
  readonly url: string;
  readonly ctx: DbCtx;
  readonly adminToken: string;
  /** A user who can log in. */
  readonly ada: User;
  advance(ms: number): void;
  /** A REST call with this token. */
  call(path: string, token: string, init?: RequestInit): Promise<Response>;
}

/** `env` is its configuration. */
export async function plane(t: Cleanup, env: Readonly<Record<string, string>> = {}): Promise<Plane> {
  const { db, url: databaseUrl } = await testDatabase(t);
  let elapsedMs = 0;
  const clock: Clock = {
    ...systemClock,
    now: () => new Date(Date.now() + elapsedMs),
    monotonicMs: () => performance.now() + elapsedMs,
  };
  const ctx: DbCtx = { db, clock, random: systemRandom, log: silentLog };
  const config = loadConfig(env);
  const box = secretBox("s".repeat(32));
  const login = loginOf({ config, home: "", ctx, box, databaseUrl, close: async () => undefined });
  const server = edge.createRpcServer({
    ctx,
    routes: [identityRoutes({ db, edge, passwordPage: login.passwordPage })],
    authenticate: (call, bearer) => login.authenticate({ ...call, db }, bearer),
    openApi: "{}",
    version: "test",
    health: () => ({ ok: true, facts: {} }),
    documents: { [METADATA_PATH]: login.metadata },
    mounts: login.mounts,
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  undoAfter(t, async () => {
    const closed = server.close();
    server.app.server.closeAllConnections();
    await closed;
    await login.close();
  });
  const url = `http://127.0.0.1:${port}`;
  login.listening(url);
  const { token: adminToken } = await bootstrapAdmin(ctx, { name: "The boss" });
  const ada = await createUser(ctx, { displayName: "Ada", email: "Ada@example.com" });
  return {
    url,
    ctx,
    adminToken,
    ada,
    advance: (ms) => {
      elapsedMs += ms;
    },
    call: (path, token, init = {}) =>
      fetch(`${url}${path}`, {
        ...init,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...init.headers },
      }),
  };
}

/** Gives the user its password, as the user does it. */
export async function withPassword({ ctx, url }: Plane, user: User, password = PASSWORD): Promise<void> {
  const { code } = await inviteUser(ctx, { userId: user.id });
  const tab = browser();
  const form = await tab.open(`${url}/oidc/password`);
  const done = await tab.submit(form, { code, password, again: password });
  assert.match(done.text, /Your password is set/);
}
