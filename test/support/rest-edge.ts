/** The real edge over REST with the routes that a test hands in, real tokens and real Idempotency-Keys. */
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { secretBox } from "../../src/base/seal.ts";
import type { DbCtx } from "../../src/db/db.ts";
import { createIdempotency } from "../../src/idempotency/index.ts";
import {
  authenticate,
  createAccessToken,
  createUser,
  type Role,
  requireUsers,
} from "../../src/identity/index.ts";
import * as edge from "../../src/rpc/index.ts";
import type { Cleanup } from "./cleanup.ts";
import { testDatabase } from "./postgres.ts";

/** Any JSON value, looked into by name or index. */
export interface Json {
  readonly [name: string]: Json | undefined;
}

export interface Answer {
  readonly status: number;
  readonly body: Json;
  /** ErrorInfo's reason; "" for a success. */
  readonly reason: string;
}

export interface Person {
  readonly id: string;
  readonly token: string;
}

type Routes = Parameters<typeof edge.createRpcServer>[0]["routes"];

/** A database with people, at a time that the test moves. */
export async function people(t: Cleanup, start: Date) {
  const { db } = await testDatabase(t);
  let now = start.getTime();
  const clock = { ...systemClock, now: () => new Date(now) };
  const ctx: DbCtx = { db, clock, random: systemRandom, log: silentLog };
  return {
    ctx,
    advance: (ms: number) => {
      now += ms;
    },
    async person(displayName: string, role: Role = "USER"): Promise<Person> {
      const { id } = await createUser(ctx, { displayName, role, email: `${displayName}@example.com` });
      const made = await createAccessToken(ctx, { userId: id, name: "t", scopes: [], expiresAt: null });
      return { id, token: made.token };
    },
  };
}

/** An edge on no port; calls are injected. */
export function restEdge(t: Cleanup, ctx: DbCtx, routes: Routes) {
  const idempotency = createIdempotency({ box: secretBox("k".repeat(32)) });
  const server = edge.createRpcServer({
    ctx,
    routes,
    authenticate: (call, bearer) => authenticate({ ...call, db: ctx.db }, bearer),
    requireUsers: (call, userIds) => requireUsers({ ...call, db: ctx.db }, userIds),
    idempotency: { begin: (call, input) => idempotency.begin({ ...call, db: ctx.db }, input) },
    openApi: "{}",
    version: "test",
    health: () => ({ ok: true, facts: {} }),
  });
  t.after(() => server.close());
  /** One call as somebody. */
  const call = async (
    who: { readonly token: string },
    method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
    url: string,
    payload?: object,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer> => {
    const answer = await server.app.inject({
      method,
      url,
      headers: { authorization: `Bearer ${who.token}`, ...headers },
      ...(payload && { payload }),
    });
    const body: Json = answer.json();
    return { status: answer.statusCode, body, reason: String(body.details?.[0]?.reason ?? "") };
  };
  return { server, call };
}
