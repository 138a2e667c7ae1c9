import { invalidArgument } from "../base/status.ts";
import { type DbCtx, withTransaction } from "../db/db.ts";
import type { Endpoint } from "./model.ts";
import { type EndpointInput, lockOwnEndpoint } from "./owned.ts";
import { eventTypeViolations, subscribed, urlViolations } from "./parse-endpoint.ts";
import type { WebhooksDeps } from "./ports.ts";
import { cancelPending } from "./store/deliveries.ts";
import { updateEndpoint as write } from "./store/endpoints.ts";

export interface EndpointChange extends EndpointInput {
  readonly url: string | undefined;
  readonly description: string | undefined;
  /** None leaves them. */
  readonly eventTypes: readonly string[];
  readonly enabled: boolean | undefined;
}

/** Changes what is given. Disabling cancels what waits; enabling forgets past failures. Throws WEBHOOK_NOT_FOUND, URL_REFUSED, INVALID_FIELD. */
export function updateEndpoint(ctx: DbCtx, deps: WebhooksDeps, input: EndpointChange): Promise<Endpoint> {
  const violations = [
    ...(input.url === undefined ? [] : urlViolations(deps.client, input.url)),
    ...eventTypeViolations(input.eventTypes),
  ];
  return withTransaction(ctx, async (tx) => {
    const before = await lockOwnEndpoint(tx, input);
    if (violations.length > 0) throw invalidArgument(violations);
    const after = changed(before, input, tx.clock.now());
    await write(tx, after);
    if (after.disabled && !before.disabled) await cancelPending(tx, after.id, after.updatedAt);
    return after;
  });
}

function changed(before: Endpoint, input: EndpointChange, now: Date): Endpoint {
  const asked = { reason: "ASKED", message: "It was disabled by a request.", at: now } as const;
  const enabling = input.enabled === true && before.disabled !== null;
  return {
    ...before,
    url: input.url ?? before.url,
    description: input.description ?? before.description,
    eventTypes: input.eventTypes.length === 0 ? before.eventTypes : subscribed(input.eventTypes),
    disabled:
      input.enabled === undefined ? before.disabled : input.enabled ? null : (before.disabled ?? asked),
    failingSince: enabling ? null : before.failingSince,
    updatedAt: now,
  };
}
