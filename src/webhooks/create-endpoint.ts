import { invalidArgument, StatusError } from "../base/status.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import { getUser } from "../identity/index.ts";
import { ENDPOINTS_MAX, type Endpoint } from "./model.ts";
import { eventTypeViolations, subscribed, urlViolations } from "./parse-endpoint.ts";
import type { WebhooksDeps } from "./ports.ts";
import { newSecret, sealSecret } from "./secrets.ts";
import { countEndpointsLocked, insertEndpoint } from "./store/endpoints.ts";

export interface NewEndpoint {
  readonly userId: string;
  readonly url: string;
  readonly description: string;
  /** None is every type. */
  readonly eventTypes: readonly string[];
}

export interface EndpointWithSecret {
  readonly endpoint: Endpoint;
  /** In this answer and never again. */
  readonly secret: string;
}

/** Throws USER_NOT_FOUND, TOO_MANY_WEBHOOKS, URL_REFUSED and INVALID_FIELD. */
export async function createEndpoint(
  ctx: DbCtx,
  deps: WebhooksDeps,
  input: NewEndpoint,
): Promise<EndpointWithSecret> {
  const violations = [...urlViolations(deps.client, input.url), ...eventTypeViolations(input.eventTypes)];
  if (violations.length > 0) throw invalidArgument(violations);
  return withTransaction(ctx, async (tx) => {
    const user = await getUser(tx, input.userId);
    if ((await countEndpointsLocked(tx, user.id)) >= ENDPOINTS_MAX) throw tooMany();
    const now = tx.clock.now();
    const endpoint: Endpoint = {
      id: tx.random.uuid(),
      userId: user.id,
      url: input.url,
      description: input.description,
      eventTypes: subscribed(input.eventTypes),
      disabled: null,
      failingSince: null,
      lastDeliveredAt: null,
      formerSecretEndsAt: null,
      createdAt: now,
      updatedAt: now,
    };
    const secret = newSecret(tx.random);
    await insertEndpoint(tx, endpoint, sealSecret(deps.box, endpoint.id, secret));
    return { endpoint, secret };
  });
}

function tooMany(): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "TOO_MANY_WEBHOOKS",
    message: `A user has at most ${ENDPOINTS_MAX} webhook endpoints. Delete one that is no longer used.`,
  });
}
