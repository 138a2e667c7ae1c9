/**
 * The control plane's edge: requests a second and p99 of five reads and of a deploy, by REST and by Connect, with 1 and 32 clients, each
 * beside a bare Fastify route that answers the same JSON; token verifications a second; and what the access check takes of a request.
 * The program runs as a process of its own with the api role alone: nothing is started by what is deployed.
 *
 *   node bench/control-plane.ts [SECONDS of each measure]
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { create, type Message } from "@bufbuild/protobuf";
import { createContextValues, type UnaryRequest } from "@connectrpc/connect";
import Fastify from "fastify";
import type { JSONWebKeySet } from "jose";
import { Pool } from "undici";
import { GetModelRequestSchema, ModelService } from "../gen/tensormesh/model/v1/model_service_pb.js";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { systemRandom } from "../src/base/random.ts";
import type { DbCtx } from "../src/db/db.ts";
import { authenticate } from "../src/identity/index.ts";
import { people } from "../src/main/quickstart/people.ts";
import { at, type Json, must, wireOf } from "../src/main/quickstart/wire.ts";
import { createOidcAuthenticate, issuerKeys, usersOfIssuer, verifyToken } from "../src/oidc/index.ts";
import { AUDIENCE, testIssuer } from "../src/oidc/testing/issuer.ts";
import { access, requireMethod } from "../src/rpc/access.ts";
import { principalKey } from "../src/rpc/context.ts";
import type { Cleanup } from "../test/support/cleanup.ts";
import { testDatabase } from "../test/support/postgres.ts";
import { command, serving, testHome } from "../test/support/program.ts";
import { percentile, withCleanup } from "./support.ts";

const BASELINE = "--baseline";
const SECONDS = Number(process.argv[2] ?? 3);
const CLIENTS = [1, 32];
const WARM_UP_MS = 1_000;
const CHECKS = 200_000;
/** A page of the lists. */
const MODELS = 20;

interface Call {
  readonly verb: "GET" | "POST";
  readonly path: string;
  /** Makes the body of one call. */
  readonly body?: () => string;
}

interface Operation {
  readonly name: string;
  readonly rest: Call;
  readonly connect: Call;
}

interface Measured {
  readonly perSecond: number;
  readonly p99Ms: number;
}

/** Calls from so many clients for a while, each the next when its last was answered. */
async function measure(origin: string, token: string, call: Call, clients: number): Promise<Measured> {
  const pool = new Pool(origin, { connections: clients, pipelining: 1 });
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const one = async () => {
    const began = performance.now();
    const answer = await pool.request({
      method: call.verb,
      path: call.path,
      headers,
      ...(call.body ? { body: call.body() } : {}),
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`${call.path}: ${answer.statusCode} ${text}`);
    return performance.now() - began;
  };
  const during = async (ms: number) => {
    const taken: number[] = [];
    const began = performance.now();
    const client = async () => {
      while (performance.now() - began < ms) taken.push(await one());
    };
    await Promise.all(Array.from({ length: clients }, client));
    return { taken: taken.sort((a, b) => a - b), seconds: (performance.now() - began) / 1_000 };
  };
  await during(WARM_UP_MS);
  const { taken, seconds } = await during(SECONDS * 1_000);
  await pool.close();
  return { perSecond: taken.length / seconds, p99Ms: percentile(taken, 0.99) };
}

/** A bare route in a process of its own, which answers what it reads from standard input. */
async function baseline(answer: string): Promise<{ origin: string; child: ChildProcess }> {
  const child = spawn(process.execPath, [import.meta.filename, BASELINE], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(answer);
  const [origin] = await child.stdout.take(1).toArray();
  return { origin: String(origin).trim(), child };
}

async function serveBaseline(): Promise<void> {
  const answer = (await process.stdin.toArray()).join("");
  const app = Fastify();
  app.all("/*", async (_request, reply) => reply.type("application/json").send(answer));
  console.log(await app.listen({ host: "127.0.0.1", port: 0 }));
}

async function compare(origin: string, token: string, operation: Operation): Promise<number> {
  const { rest, connect } = operation;
  const sample = await fetch(new URL(rest.path, origin), {
    method: rest.verb,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(rest.body ? { body: rest.body() } : {}),
  });
  const bare = await baseline(await sample.text());
  let busiest = 0;
  for (const clients of CLIENTS) {
    const plain = await measure(bare.origin, token, rest, clients);
    const told = [`${plain.perSecond.toFixed(0)}/s p99 ${plain.p99Ms.toFixed(1)} ms bare`];
    for (const [name, call] of [
      ["REST", rest],
      ["Connect", connect],
    ] as const) {
      const found = await measure(origin, token, call, clients);
      const ratio = found.perSecond / plain.perSecond;
      told.push(
        `${name} ${found.perSecond.toFixed(0)}/s (${ratio.toFixed(2)}) p99 ${found.p99Ms.toFixed(1)} ms`,
      );
      if (name === "REST") busiest = found.perSecond;
    }
    console.log(`${operation.name}, ${clients} clients: ${told.join("; ")}`);
  }
  bare.child.kill();
  return busiest;
}

function read(name: string, path: string, method: string, request: Json = {}): Operation {
  const body = JSON.stringify(request);
  return {
    name,
    rest: { verb: "GET", path },
    connect: { verb: "POST", path: `/${method}`, body: () => body },
  };
}

let deployed = 0;
const deployBody = () => JSON.stringify({ modelName: `bench-${++deployed}`, modelPath: "builtin://tiny" });

function operations(modelId: string): readonly Operation[] {
  return [
    read("GetModel", `/v1/models/${modelId}`, "tensormesh.model.v1.ModelService/GetModel", { modelId }),
    read("ListModels (20)", "/v1/models?pageSize=20", "tensormesh.model.v1.ModelService/ListModels", {
      pageSize: 20,
    }),
    read("GetUserBalance", "/v1/billing/balance", "tensormesh.billing.v1.UserBalanceService/GetUserBalance"),
    read("GetAuthProfile", "/auth/profile", "tensormesh.user.v1.UserService/GetAuthProfile"),
    read(
      "ListBillingTransactions (20)",
      "/v1/billing/transactions?pageSize=20",
      "tensormesh.billing.v1.BillingTransactionService/ListBillingTransactions",
      { pageSize: 20 },
    ),
    {
      name: "DeployModel",
      rest: { verb: "POST", path: "/v1/models", body: deployBody },
      connect: {
        verb: "POST",
        path: "/tensormesh.billing.v1.BillingModelService/DeployModel",
        body: deployBody,
      },
    },
  ];
}

/** The access check of one GetModel: role and scope, then whose it is. */
async function accessCheckMs(userId: string, modelId: string): Promise<number> {
  const principal = { userId, role: "USER", tokenId: "t", scopes: ["write"] } as const;
  const method = ModelService.method.getModel;
  const message: Message = create(GetModelRequestSchema, { modelId });
  const contextValues = createContextValues().set(principalKey, principal);
  // Only what the check looks at.
  const request = { stream: false, method, message, contextValues } as unknown as UnaryRequest;
  const next = access()(async () => ({}) as never);
  const check = () => {
    requireMethod(principal, method);
    return next(request);
  };
  for (let n = 0; n < CHECKS / 10; n++) await check();
  const began = performance.now();
  for (let n = 0; n < CHECKS; n++) await check();
  return (performance.now() - began) / CHECKS;
}

async function verificationsPerSecond(verify: () => Promise<unknown>): Promise<number> {
  let done = 0;
  const began = performance.now();
  const client = async () => {
    for (; performance.now() - began < SECONDS * 1_000; done++) await verify();
  };
  await Promise.all(Array.from({ length: 32 }, client));
  return done / ((performance.now() - began) / 1_000);
}

/** Every token checked by its signature; and one token as a program sends it, again and again. */
async function jwtVerifications(t: Cleanup, ctx: DbCtx): Promise<{ first: number; again: number }> {
  const issuer = await testIssuer(t, () => new Date());
  await issuer.rotate();
  const answer = await fetch(`${issuer.url}/jwks`);
  const published = (await answer.json()) as JSONWebKeySet; // a test issuer's
  const deps = {
    rules: { issuer: issuer.url, audience: AUDIENCE, algorithms: ["RS256"], clockSkewMs: 60_000 },
    keys: issuerKeys({ issuer: issuer.url, fetch: async () => published }),
  };
  const token = await issuer.token();
  const authenticateJwt = createOidcAuthenticate({ ...deps, userOf: usersOfIssuer(issuer.url, []) });
  return {
    first: await verificationsPerSecond(() => verifyToken(ctx, token, deps)),
    again: await verificationsPerSecond(() => authenticateJwt(ctx, token)),
  };
}

async function run(): Promise<void> {
  await withCleanup(async (t) => {
    const { url, db } = await testDatabase(t);
    const env = {
      SLIPWAY_HOME: await testHome(t),
      DATABASE_URL: url,
      SLIPWAY_SECRET_KEY: randomBytes(32).toString("hex"),
      SLIPWAY_PAYMENTS: "test",
      SLIPWAY_PORT: "0",
      SLIPWAY_LOG_LEVEL: "error",
      SLIPWAY_TOKEN_REQUESTS_PER_MINUTE: "0",
      SLIPWAY_ADDRESS_REQUESTS_PER_MINUTE: "0",
      SLIPWAY_ADJUSTMENT_ALONE_MAX: "1000000",
    };
    const { addresses } = await serving(t, env, "api");
    const wire = wireOf(addresses.apiUrl);
    const bootstrapAdmin = async () => {
      const { output } = await command(t, ["admin", "bootstrap", "--name", "Bench"], env);
      const line = output.split("\n").find((one) => one.includes('"token"')) ?? "";
      return { token: must(JSON.parse(line) as Json, "token") };
    };
    const who = await people({ wire, currency: "USD", region: "local", bootstrapAdmin }, undefined);
    const amount = { currencyCode: "USD", units: "1000000", nanos: 0 };
    const grant = { targetUserId: who.userId, amount };
    await wire({
      method: "POST",
      path: "/v1/admin/billing/balances:add",
      token: who.adminToken,
      body: grant,
    });
    let modelId = "";
    for (let n = 0; n < MODELS; n++) {
      const body = JSON.parse(deployBody()) as Json;
      const answer = await wire({ method: "POST", path: "/v1/models", token: who.userToken, body });
      modelId = must(at(answer, "model"), "modelId");
    }

    const rates = new Map<string, number>();
    for (const operation of operations(modelId)) {
      rates.set(operation.name, await compare(addresses.apiUrl, who.userToken, operation));
    }
    const ctx = { db, clock: systemClock, random: systemRandom, log: silentLog };
    const verified = await verificationsPerSecond(() => authenticate(ctx, who.userToken));
    console.log(`machine tokens verified against the database: ${verified.toFixed(0)}/s with 32 at once`);
    const jwts = await jwtVerifications(t, ctx);
    console.log(
      `JWTs of an issuer (RS256): ${jwts.first.toFixed(0)}/s verified, ${jwts.again.toFixed(0)}/s seen within the minute before, user read each time`,
    );
    const checkMs = await accessCheckMs(who.userId, modelId);
    const requestMs = 1_000 / (rates.get("GetModel") ?? Number.NaN);
    const share = (checkMs / requestMs) * 100;
    console.log(
      `access check: ${(checkMs * 1_000).toFixed(2)} µs, ${share.toFixed(2)} % of a GetModel by REST with 32 clients`,
    );
  });
}

if (process.argv[2] === BASELINE) await serveBaseline();
else {
  await run();
  process.exit(0);
}
