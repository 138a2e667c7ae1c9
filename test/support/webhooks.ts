/** Webhooks on a real database, with a real receiver and a clock that tests move. */
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { createGuardedClient } from "../../src/base/guarded-client.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { secretBox } from "../../src/base/seal.ts";
import { noSteps } from "../../src/base/steps.ts";
import { type DbCtx, withTransaction } from "../../src/db/db.ts";
import { createUser, type Principal } from "../../src/identity/index.ts";
import {
  announce,
  createEndpoint,
  type Delivery,
  deliverDue,
  type Endpoint,
  type EndpointWithSecret,
  getEndpoint,
  listDeliveries,
  type NewEndpoint,
  type NewEvent,
  SEND_MS,
  type WebhooksDeps,
} from "../../src/webhooks/index.ts";
import { type Cleanup, undoAfter } from "./cleanup.ts";
import { testDatabase } from "./postgres.ts";
import { type Receiver, receiver } from "./receiver.ts";

export interface WebhookFixture {
  readonly ctx: DbCtx;
  readonly deps: WebhooksDeps;
  readonly receiver: Receiver;
  readonly owner: Principal;
  readonly other: Principal;
  readonly admin: Principal;
  now(): Date;
  advance(ms: number): void;
  /** An endpoint of the owner's at the receiver. */
  endpoint(change?: Partial<NewEndpoint>): Promise<EndpointWithSecret>;
  announce(change?: Partial<NewEvent>): Promise<void>;
  /** One pass of a worker. */
  pass(deps?: WebhooksDeps): Promise<number>;
  /** The owner's deliveries, oldest first. */
  deliveries(): Promise<readonly Delivery[]>;
  seen(endpointId: string): Promise<Endpoint>;
}

export async function webhookFixture(t: Cleanup, sendMs = SEND_MS): Promise<WebhookFixture> {
  const { db } = await testDatabase(t, { connectionsMax: 8 });
  const started = Date.now();
  let passed = 0;
  const now = () => new Date(started + passed);
  const clock: Clock = { ...systemClock, now };
  const ctx: DbCtx = { db, clock, random: systemRandom, log: silentLog };
  const at = await receiver(t);
  const client = createGuardedClient({ allowed: [at.host], userAgent: "slipway/test" });
  undoAfter(t, client.close);
  const box = secretBox("a secret that tests share, long enough to be one");
  const deps: WebhooksDeps = { box, client, steps: noSteps, sendMs };
  const [owner, other, admin] = await Promise.all([
    principal(ctx, "USER"),
    principal(ctx, "USER"),
    principal(ctx, "ADMIN"),
  ]);
  const { userId } = owner;
  const all = { userId, endpointId: "", status: null };
  return {
    ctx,
    deps,
    receiver: at,
    owner,
    other,
    admin,
    now,
    advance: (ms) => {
      passed += ms;
    },
    endpoint: (change) =>
      createEndpoint(ctx, deps, { userId, url: at.url, description: "", eventTypes: [], ...change }),
    announce: (change) => {
      passed++; // deliveries are listed by their time
      return withTransaction(ctx, (tx) => announce(tx, { ...moved(userId), ...change }));
    },
    pass: (as = deps) => deliverDue(ctx, as, { limit: 100 }),
    deliveries: async () =>
      (await listDeliveries(ctx, all, { size: 1_000, after: undefined })).rows.toReversed(),
    seen: (endpointId) => getEndpoint(ctx, { principal: owner, endpointId }),
  };
}

function moved(userId: string): NewEvent {
  const data = { modelId: "11111111-1111-4111-8111-111111111111", status: "MODEL_STATUS_RUNNING" };
  return { userId, type: "model.status_changed", data };
}

async function principal(ctx: DbCtx, role: Principal["role"]): Promise<Principal> {
  const user = await createUser(ctx, { role, displayName: role });
  return { userId: user.id, role, tokenId: "t", scopes: [] };
}
