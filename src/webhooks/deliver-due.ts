/** One pass over the queue: claim what is due, send it, write down what came of it. Any number of workers may run passes at once. */
import { type DbCtx, withTransaction } from "../db/db.ts";
import { ATTEMPTS_MAX, type Delivery, type Endpoint, retryDelayMs } from "./model.ts";
import { SEND_MS, type WebhooksDeps } from "./ports.ts";
import { openSecrets } from "./secrets.ts";
import { type Sent, send } from "./send.ts";
import { cancelPending } from "./store/deliveries.ts";
import { lockEndpoint, selectTarget, updateHealth } from "./store/endpoints.ts";
import { claimDue, endAttempt, lockClaims } from "./store/queue.ts";

/** After a crash a delivery waits so long; far above what sending and writing take. */
export const LEASE_MS = SEND_MS + 45_000;
/** Attempts under way to one endpoint, over all workers: a slow receiver holds up itself alone. */
const PER_ENDPOINT_MAX = 4;

/** Claims up to `limit` due deliveries, those of each endpoint in the order in which they are due. */
export async function claimDeliveries(
  ctx: DbCtx,
  deps: WebhooksDeps,
  input: { readonly limit: number },
): Promise<readonly Delivery[]> {
  const now = ctx.clock.now();
  const until = new Date(now.getTime() + LEASE_MS);
  const { limit } = input;
  const claimed = await withTransaction(ctx, async (tx) => {
    await lockClaims(tx);
    return claimDue(tx, { now, until, limit, perEndpointMax: PER_ENDPOINT_MAX });
  });
  if (claimed.length > 0) deps.steps.reach("webhooks.claimed");
  return claimed;
}

/** One pass to its end; returns how many deliveries it took. */
export async function deliverDue(
  ctx: DbCtx,
  deps: WebhooksDeps,
  input: { readonly limit: number },
): Promise<number> {
  const claimed = await claimDeliveries(ctx, deps, input);
  await Promise.all(claimed.map((delivery) => deliver(ctx, deps, delivery)));
  return claimed.length;
}

/** One attempt at a claimed delivery. What is cut off between the two is sent again under the same id when its claim has lapsed. */
export async function deliver(ctx: DbCtx, deps: WebhooksDeps, delivery: Delivery): Promise<void> {
  const target = await selectTarget(ctx, delivery.endpointId);
  if (target === undefined) return; // deleted, and its deliveries with it
  if (target.isDisabled && delivery.eventType !== "webhook.ping") return; // cancelled meanwhile
  if (delivery.attemptCount > delivery.attemptsMax) {
    await record(ctx, delivery, undefined);
    return;
  }
  const secrets = openSecrets(deps.box, delivery.endpointId, target, ctx.clock.now());
  const sent = await send(ctx, deps, { delivery, url: target.url, secrets });
  deps.steps.reach("webhooks.sent");
  const status = await record(ctx, delivery, sent);
  if (status !== undefined) deps.onAttempt?.(OUTCOMES[status]);
  deps.steps.reach("webhooks.recorded");
}

const OUTCOMES = { DELIVERED: "delivered", PENDING: "failed", FAILED: "given_up" } as const;

/**
 * Writes an attempt's end and what it says of the endpoint; gives what the delivery is now, undefined where the claim was lost.
 * `sent` is missing where the last attempt never came to an end.
 */
async function record(
  ctx: DbCtx,
  delivery: Delivery,
  sent: Sent | undefined,
): Promise<keyof typeof OUTCOMES | undefined> {
  const chance = ctx.random.bytes(4).readUInt32BE() / 2 ** 32;
  return withTransaction(ctx, async (tx) => {
    const endpoint = await lockEndpoint(tx, delivery.endpointId);
    if (!endpoint) return undefined;
    const at = tx.clock.now();
    const number = delivery.attemptCount;
    const status = statusAfter(delivery, sent);
    const delayMs = retryDelayMs(number, chance, sent?.retryAfterMs);
    const nextAttemptAt = status === "PENDING" ? new Date(at.getTime() + delayMs) : null;
    const end = {
      deliveryId: delivery.id,
      attempt: sent?.attempt ?? null,
      number,
      status,
      nextAttemptAt,
      at,
    };
    if (!(await endAttempt(tx, end))) return undefined;
    const after = healthAfter(endpoint, delivery, sent, at);
    await updateHealth(tx, after);
    if (after.disabled && !endpoint.disabled) await cancelPending(tx, endpoint.id, at);
    return status;
  });
}

function statusAfter(delivery: Delivery, sent: Sent | undefined): "PENDING" | "DELIVERED" | "FAILED" {
  if (sent?.delivered) return "DELIVERED";
  return !sent || sent.gone || delivery.attemptCount >= delivery.attemptsMax ? "FAILED" : "PENDING";
}

/** What an attempt says of its endpoint. Pure. */
export function healthAfter(
  endpoint: Endpoint,
  delivery: Delivery,
  sent: Sent | undefined,
  at: Date,
): Endpoint {
  if (sent?.delivered) return { ...endpoint, failingSince: null, lastDeliveredAt: at };
  const began = delivery.attempts[0]?.startedAt ?? sent?.attempt.startedAt ?? delivery.createdAt;
  const failingSince = endpoint.failingSince ?? sent?.attempt.startedAt ?? at;
  const failing = { ...endpoint, failingSince };
  if (endpoint.disabled) return failing;
  if (sent?.gone) {
    const message = "The receiver answered 410: it wants nothing more. Enable the endpoint when it does.";
    return { ...failing, disabled: { reason: "GONE", message, at } };
  }
  const gaveUp = delivery.attemptsMax === ATTEMPTS_MAX && delivery.attemptCount >= ATTEMPTS_MAX;
  // A later failure began a new row: something has arrived since the first attempt of this one.
  if (!gaveUp || failingSince > began) return failing;
  const last = sent?.attempt.failure ?? "The last attempt was cut off.";
  const message = `Nothing has arrived here since ${failingSince.toISOString()}. ${last} Enable the endpoint when it answers.`;
  return { ...failing, disabled: { reason: "FAILING", message, at } };
}
