/** Where the wire's words for endpoints and deliveries meet ours. */
import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  WebhookDeliverySchema,
  WebhookDeliveryStatus,
  WebhookDisabledReason,
  WebhookEndpointSchema,
  WebhookEndpointStatus,
  type WebhookDelivery as WireDelivery,
  type WebhookEndpoint as WireEndpoint,
} from "../../gen/slipway/webhooks/v1/webhook_service_pb.js";
import type { Delivery, DeliveryStatus, Endpoint } from "./model.ts";

/** `secret` only in the answer that makes it. */
export function endpointToWire(endpoint: Endpoint, now: Date, secret = ""): WireEndpoint {
  const { disabled, formerSecretEndsAt: endsAt } = endpoint;
  return create(WebhookEndpointSchema, {
    endpointId: endpoint.id,
    userId: endpoint.userId,
    url: endpoint.url,
    description: endpoint.description,
    eventTypes: [...endpoint.eventTypes],
    status: disabled ? WebhookEndpointStatus.DISABLED : WebhookEndpointStatus.ENABLED,
    disabledReason: WebhookDisabledReason[disabled?.reason ?? "UNSPECIFIED"],
    disabledMessage: disabled?.message ?? "",
    secret,
    createdAt: timestampFromDate(endpoint.createdAt),
    updatedAt: timestampFromDate(endpoint.updatedAt),
    ...optional("disabledAt", disabled?.at ?? null),
    ...optional("failingSince", endpoint.failingSince),
    ...optional("lastDeliveredAt", endpoint.lastDeliveredAt),
    ...optional("formerSecretEndsAt", endsAt !== null && endsAt > now ? endsAt : null),
  });
}

export function deliveryToWire(delivery: Delivery): WireDelivery {
  return create(WebhookDeliverySchema, {
    deliveryId: delivery.id,
    endpointId: delivery.endpointId,
    eventId: delivery.eventId,
    eventType: delivery.eventType,
    sequence: delivery.sequence,
    status: WebhookDeliveryStatus[delivery.status],
    // One that a crash cut off at the very last is counted by the claim that ends it.
    attemptCount: Math.min(delivery.attemptCount, delivery.attemptsMax),
    attempts: delivery.attempts.map(({ startedAt, durationMs, ...attempt }) => ({
      ...attempt,
      startedAt: timestampFromDate(startedAt),
      durationMs: BigInt(durationMs),
    })),
    createdAt: timestampFromDate(delivery.createdAt),
    replayOf: delivery.replayOf ?? "",
    payload: delivery.payload,
    ...optional("nextAttemptAt", delivery.nextAttemptAt),
    ...optional("endedAt", delivery.endedAt),
  });
}

/** Null is any. */
export function statusFromWire(status: WebhookDeliveryStatus): DeliveryStatus | null {
  if (status === WebhookDeliveryStatus.PENDING) return "PENDING";
  if (status === WebhookDeliveryStatus.DELIVERED) return "DELIVERED";
  if (status === WebhookDeliveryStatus.FAILED) return "FAILED";
  return status === WebhookDeliveryStatus.CANCELLED ? "CANCELLED" : null;
}

function optional<N extends string>(name: N, date: Date | null): { [K in N]?: Timestamp } {
  const given: { [K in N]?: Timestamp } = {};
  if (date !== null) given[name] = timestampFromDate(date);
  return given;
}
