/** The whole control plane over HTTP on a real database, and users with everything that an operation may be about. */
import assert from "node:assert/strict";
import type { AuditNotes } from "../../../src/audit/index.ts";
import { createAuditNotes } from "../../../src/audit/index.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { createGuardedClient } from "../../../src/base/guarded-client.ts";
import { StatusError } from "../../../src/base/status.ts";
import { noSteps } from "../../../src/base/steps.ts";
import * as billing from "../../../src/billing/index.ts";
import { insertInvoice, lockSeries, selectLast } from "../../../src/billing/invoices/store.ts";
import { publish } from "../../../src/catalog/index.ts";
import { type DbCtx, withTransaction } from "../../../src/db/db.ts";
import {
  authenticate,
  createAccessToken,
  createApiKey,
  createUser,
  requireUsers,
} from "../../../src/identity/index.ts";
import { apiRoutes } from "../../../src/main/api-routes.ts";
import { deployModel, type ModelsDeps, pauseModel } from "../../../src/models/index.ts";
import * as edge from "../../../src/rpc/index.ts";
import { createBucket, type TierSizes } from "../../../src/storage/index.ts";
import { createTicket } from "../../../src/support/index.ts";
import { createEndpoint, pingEndpoint, SEND_MS, type WebhooksDeps } from "../../../src/webhooks/index.ts";
import type { Cleanup } from "../../support/cleanup.ts";
import { deployInput, modelFixture, NANOS_PER_HOUR } from "../../support/models.ts";
import type { RoleName } from "./expected.ts";

export interface User {
  readonly id: string;
  readonly email: string;
  readonly role: RoleName;
  readonly token: string;
}

/** Whom a call is about. What it asks for is made then; of nobody it is an id that does not exist. */
export interface Target {
  readonly userId: string;
  readonly email: string;
  model(state?: "paused"): Promise<string>;
  key(): Promise<string>;
  accessToken(): Promise<string>;
  transaction(): Promise<string>;
  receipt(): Promise<string>;
  invoice(): Promise<string>;
  card(): Promise<string>;
  ticket(): Promise<string>;
  /** Has what a deploy asks for. */
  funded(): Promise<void>;
  servedName(): Promise<string>;
  endpoint(): Promise<string>;
  delivery(): Promise<string>;
  payment(): Promise<string>;
  /** A region, or a name, that has a price of its own. */
  gpuPrice(): Promise<string>;
  tokenPrice(): Promise<string>;
  /** An adjustment of the user's balance that another administrator proposed. */
  adjustment(): Promise<string>;
  budget(): Promise<string>;
  /** Has external storage, from now on. */
  stored(): Promise<void>;
}

export interface World {
  readonly ctx: DbCtx;
  readonly url: string;
  readonly notes: AuditNotes;
  user(role: RoleName): Promise<User>;
  /** Another token of a user. */
  token(user: User, scopes: readonly string[]): Promise<string>;
  of(user: User): Target;
  nobody(): Target;
}

const PRICE = {
  currency: "USD",
  inputNanosPerMillion: 1n,
  cachedNanosPerMillion: 0n,
  outputNanosPerMillion: 1n,
};

/** What an administrator gives alone; what is proposed here is more. */
const adjustmentAloneMaxNanos = 1_000_000_000_000n;

const TIERS: TierSizes = { BRONZE: 1, SILVER: 2, GOLD: 3 };

export async function accessWorld(t: Cleanup): Promise<World> {
  const f = await modelFixture(t);
  const { ctx, deps } = f;
  await billing.configureBilling(ctx, { currency: "USD", payments: "test", adjustmentAloneMaxNanos });
  const payments = billing.testPayments();
  const client = createGuardedClient({ allowed: [], userAgent: "test" });
  t.after(() => client.close());
  const webhooks = { box: deps.box, client, steps: noSteps, sendMs: SEND_MS };
  const notes = createAuditNotes(ctx);
  // Deadlines of calls are real ones: only what is stored has the fixture's time.
  const clock = { ...systemClock, now: ctx.clock.now };
  const server = edge.createRpcServer({
    ctx: { ...ctx, clock },
    routes: apiRoutes({
      ...{ db: ctx.db, models: deps, payments, webhooks },
      storage: { tiers: TIERS },
      passwordPage: async () => ({ url: "https://example.com/password" }),
    }),
    authenticate: (call, bearer) => authenticate({ ...call, db: ctx.db }, bearer),
    requireUsers: (call, userIds) => requireUsers({ ...call, db: ctx.db }, userIds),
    noteAudit: notes.note,
    openApi: "{}",
    version: "test",
    health: () => ({ ok: true, facts: {} }),
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(async () => {
    const closed = server.close();
    server.app.server.closeAllConnections();
    await closed;
  });
  const token = async (userId: string, scopes: readonly string[]) =>
    createAccessToken(ctx, { userId, name: "t", scopes, expiresAt: null });
  return {
    ctx,
    url: `http://127.0.0.1:${port}`,
    notes,
    async user(role) {
      const email = `${ctx.random.uuid()}@example.com`;
      const { id } = await createUser(ctx, { role, email, displayName: role });
      return { id, email, role, token: (await token(id, [])).token };
    },
    token: async (user, scopes) => (await token(user.id, scopes)).token,
    of: (user) => targetOf(ctx, { models: deps, payments, webhooks }, user),
    nobody: () => nobody(ctx),
  };
}

interface TargetDeps {
  readonly models: ModelsDeps;
  readonly payments: billing.PaymentProcessor;
  readonly webhooks: WebhooksDeps;
}

function targetOf(ctx: DbCtx, { models: deps, payments, webhooks }: TargetDeps, user: User): Target {
  const userId = user.id;
  const principal = { userId, role: user.role, tokenId: "t", scopes: [] };
  const credit = () =>
    billing.grantCredit(ctx, {
      operatorId: userId,
      userId,
      amount: { currency: "USD", nanos: 100n * NANOS_PER_HOUR },
      reason: "t",
      key: ctx.random.uuid(),
    });
  const model = async (state?: "paused") => {
    await credit();
    await billing.attachCard(ctx, payments, { userId, cardId: "pm_card_visa" });
    const input = { ...deployInput(userId), modelName: `m-${ctx.random.uuid()}` };
    const { model: made } = await deployModel(ctx, deps, input);
    if (state === "paused") await pauseModel(ctx, deps, { principal, modelId: made.id });
    return made.id;
  };
  const endpoint = async () => {
    const input = { userId, url: "https://example.com/hook", description: "", eventTypes: [] };
    return (await createEndpoint(ctx, webhooks, input)).endpoint.id;
  };
  return {
    userId,
    email: user.email,
    endpoint,
    delivery: async () => (await pingEndpoint(ctx, { principal, endpointId: await endpoint() })).id,
    async payment() {
      const card = { userId, cardId: "pm_card_visa" };
      await billing.attachCard(ctx, payments, card);
      const money = { currency: "USD", nanos: 5_000_000_000n };
      return (await billing.topUp(ctx, payments, { ...card, money, key: ctx.random.uuid() })).processorId;
    },
    async gpuPrice() {
      const region = ctx.random.uuid();
      const place = { provider: "ONPREM", region, gpuType: "UNSPECIFIED" } as const;
      await billing.setGpuPrice(ctx, { ...place, currency: "USD", nanosPerHour: 1n, validFrom: null });
      return region;
    },
    async tokenPrice() {
      const servedName = ctx.random.uuid();
      const prices = { inputNanosPerMillion: 1n, cachedNanosPerMillion: 0n, outputNanosPerMillion: 1n };
      await billing.setTokenPrice(ctx, { servedName, currency: "USD", ...prices, validFrom: null });
      return servedName;
    },
    async adjustment() {
      const { id: operatorId } = await createUser(ctx, { displayName: "second", role: "ADMIN" });
      const money = { currency: "USD", nanos: 2n * adjustmentAloneMaxNanos };
      const input = { operatorId, userId, direction: "CREDIT", money, reason: "t" } as const;
      return (await billing.proposeAdjustment(ctx, input)).adjustmentId;
    },
    model,
    key: async () => (await createApiKey(ctx, { userId, name: "k", scopes: [], expiresAt: null })).apiKey.id,
    accessToken: async () =>
      (await createAccessToken(ctx, { userId, name: "k", scopes: [], expiresAt: null })).id,
    async transaction() {
      const { transferId } = await credit();
      return String(transferId);
    },
    async receipt() {
      const requestId = `req-${ctx.random.uuid()}`;
      await billing.ingestUsage(ctx, [usageOf(ctx, userId, requestId)]);
      return requestId;
    },
    async budget() {
      const budget = { userId, kind: "catalog", subject: ctx.random.uuid(), period: "total" } as const;
      return (await billing.setBudget(ctx, { ...budget, limit: { currency: "USD", nanos: 1n } })).budgetId;
    },
    invoice: () => issuedInvoice(ctx, userId),
    async card() {
      await billing.attachCard(ctx, payments, { userId, cardId: "pm_card_visa" });
      return "pm_card_visa";
    },
    ticket: () =>
      withTransaction(ctx, async (tx) => {
        const opened = await createTicket(
          tx,
          { changed: async () => {} },
          {
            principal,
            userId,
            subject: "s",
            type: "OTHER",
            content: "c",
          },
        );
        return opened.ticket.id;
      }),
    async stored() {
      const input = { userId, tier: "BRONZE", retentionDays: 0 } as const;
      await createBucket(ctx, { tiers: TIERS }, input).catch((error: unknown) => {
        if (!(error instanceof StatusError) || error.reason !== "STORAGE_EXISTS") throw error;
      });
    },
    async funded() {
      await credit();
      await billing.attachCard(ctx, payments, { userId, cardId: "pm_card_visa" });
    },
    async servedName() {
      const servedName = `n-${ctx.random.uuid()}`;
      const limits = { concurrencyMax: 1, outputTokensMax: 1 };
      await publish(ctx, {
        principal,
        servedName,
        modelId: await model(),
        price: PRICE,
        limits,
        ownerAgreed: true,
      });
      return servedName;
    },
  };
}

function usageOf(ctx: DbCtx, userId: string, requestId: string): billing.UsageRecord {
  const at = ctx.clock.now();
  return {
    requestId,
    gatewayId: "g",
    modelId: ctx.random.uuid(),
    servedName: "tiny",
    userId,
    keyId: null,
    sliceId: null,
    priceVersionId: null,
    promptTokens: 1,
    cachedTokens: 0,
    completionTokens: 1,
    estimated: false,
    outcome: "ok",
    startedAt: at,
    endedAt: at,
    ttftMs: null,
  };
}

/** An invoice of the month after the user's last one. */
function issuedInvoice(ctx: DbCtx, userId: string): Promise<string> {
  return withTransaction(ctx, async (tx) => {
    const seq = (await lockSeries(tx, "T", 2020)) + 1;
    const last = await selectLast(tx, userId, "USD");
    const month = (last?.to ?? new Date("2020-01-01T00:00:00Z")).toISOString().slice(0, 7);
    const openingNanos = last?.closingNanos ?? 0n;
    const number = `T-2020-${seq}`;
    const at = ctx.clock.now().toISOString();
    await insertInvoice(tx, {
      ...{ number, series: "T", year: 2020, seq, userId, currency: "USD", month, uptoTransferId: 0n },
      ...{ openingNanos, closingNanos: openingNanos + 1n, issuedAt: ctx.clock.now() },
      seller: { name: "s", address: "", taxId: "", note: "" },
      buyer: { userId, name: "b", company: "", email: "" },
      lines: [
        {
          ...{ kind: "PAYMENT", code: "topup.card", amountNanos: 1n },
          details: { from: at, to: at, movements: "1" },
        },
      ],
    });
    return number;
  });
}

function nobody(ctx: DbCtx): Target {
  const id = async () => ctx.random.uuid();
  return {
    userId: ctx.random.uuid(),
    email: `${ctx.random.uuid()}@example.com`,
    model: id,
    key: id,
    accessToken: id,
    transaction: async () => "999999999",
    receipt: id,
    invoice: id,
    card: async () => "pm_card_mastercard",
    ticket: id,
    endpoint: id,
    delivery: id,
    payment: id,
    adjustment: id,
    budget: id,
    gpuPrice: id,
    tokenPrice: id,
    funded: async () => {},
    stored: async () => {},
    servedName: id,
  };
}

/** The answer's status, and its reason where it is one that the table names. */
export interface Told {
  readonly cell: string;
  /** The public sentence, ids left out. */
  readonly message: string;
}

const PLAIN = /^(|NOT_ALLOWED|TOKEN_MISSING|[A-Z_]+_NOT_FOUND)$/;

export async function told(answer: Response): Promise<Told> {
  const type = answer.headers.get("content-type") ?? "";
  if (!type.startsWith("application/json")) {
    await answer.body?.cancel();
    return { cell: String(answer.status), message: "" };
  }
  const body: unknown = await answer.json();
  const reason = answer.ok ? "" : reasonOf(body);
  assert.ok(answer.ok || reason !== "", `an error without a reason: ${JSON.stringify(body)}`);
  return {
    cell: PLAIN.test(reason) ? String(answer.status) : `${answer.status}:${reason}`,
    message: messageOf(body),
  };
}

function reasonOf(body: unknown): string {
  return /"reason":"([A-Z_]+)"/.exec(JSON.stringify(body))?.[1] ?? "";
}

function messageOf(body: unknown): string {
  const message = typeof body === "object" && body !== null && "message" in body ? String(body.message) : "";
  return message.replace(/[0-9a-f]{8}-[0-9a-f-]{27}|\S+@example\.com|req-\S+/g, "<id>");
}
