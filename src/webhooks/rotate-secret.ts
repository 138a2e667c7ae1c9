import { type DbCtx, withTransaction } from "../db/db.ts";
import type { EndpointWithSecret } from "./create-endpoint.ts";
import { type EndpointInput, lockOwnEndpoint } from "./owned.ts";
import type { WebhooksDeps } from "./ports.ts";
import { newSecret, sealSecret } from "./secrets.ts";
import { updateSecret } from "./store/endpoints.ts";

/** How long a former secret signs too, where nothing else is asked for: time to roll out the new one. */
export const OVERLAP_DEFAULT_MS = 24 * 3_600_000;

/**
 * Makes a new secret; messages carry a signature by each of the two until the former one ends. A second rotation within that
 * time ends the oldest at once: there are never three. Throws WEBHOOK_NOT_FOUND.
 */
export function rotateSecret(
  ctx: DbCtx,
  deps: WebhooksDeps,
  input: EndpointInput & { readonly overlapMs: number },
): Promise<EndpointWithSecret> {
  return withTransaction(ctx, async (tx) => {
    const endpoint = await lockOwnEndpoint(tx, input);
    const now = tx.clock.now();
    const formerSecretEndsAt = input.overlapMs === 0 ? null : new Date(now.getTime() + input.overlapMs);
    const secret = newSecret(tx.random);
    const sealed = sealSecret(deps.box, endpoint.id, secret);
    await updateSecret(tx, { id: endpoint.id, secret: sealed, formerEndsAt: formerSecretEndsAt, now });
    return { endpoint: { ...endpoint, formerSecretEndsAt, updatedAt: now }, secret };
  });
}
