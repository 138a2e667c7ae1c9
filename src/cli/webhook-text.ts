/** Endpoints and deliveries as people read them. */
import {
  type WebhookAttempt,
  type WebhookDelivery,
  WebhookDeliveryStatus,
  type WebhookEndpoint,
  WebhookEndpointStatus,
} from "../../gen/slipway/webhooks/v1/webhook_service_pb.js";
import { age, time } from "./human.ts";
import { facts, table } from "./table.ts";

/** With the secret where this is the answer that made it. */
export function endpointText(endpoint: WebhookEndpoint): string {
  return facts([
    ["secret", endpoint.secret === "" ? "" : `${endpoint.secret}   (shown this once)`],
    ["id", endpoint.endpointId],
    ["url", endpoint.url],
    ["description", endpoint.description],
    ["events", endpoint.eventTypes.join(", ")],
    ["status", WebhookEndpointStatus[endpoint.status] ?? ""],
    ["why", endpoint.disabledMessage],
    ["disabled", time(endpoint.disabledAt)],
    ["failing since", time(endpoint.failingSince)],
    ["last delivered", time(endpoint.lastDeliveredAt)],
    ["former secret", endpoint.formerSecretEndsAt ? `until ${time(endpoint.formerSecretEndsAt)}` : ""],
  ]);
}

export function endpointsTable(endpoints: readonly WebhookEndpoint[], now: Date): string {
  return table(
    [
      { title: "URL" },
      { title: "EVENTS" },
      { title: "STATUS" },
      { title: "LAST DELIVERED", right: true },
      { title: "ID" },
    ],
    endpoints.map((endpoint) => [
      endpoint.url,
      endpoint.eventTypes.join(","),
      stateOf(endpoint),
      age(endpoint.lastDeliveredAt, now),
      endpoint.endpointId,
    ]),
  );
}

function stateOf(endpoint: WebhookEndpoint): string {
  if (endpoint.status === WebhookEndpointStatus.DISABLED) return "DISABLED";
  return endpoint.failingSince ? "FAILING" : "ENABLED";
}

export function deliveriesTable(deliveries: readonly WebhookDelivery[], now: Date): string {
  return table(
    [
      { title: "EVENT" },
      { title: "NUMBER", right: true },
      { title: "STATUS" },
      { title: "ATTEMPTS", right: true },
      { title: "ANSWER", right: true },
      { title: "AGE", right: true },
      { title: "ID" },
    ],
    deliveries.map((delivery) => [
      delivery.eventType,
      delivery.sequence.toString(),
      WebhookDeliveryStatus[delivery.status] ?? "",
      delivery.attemptCount.toString(),
      delivery.attempts.at(-1)?.responseStatus.toString() ?? "-",
      age(delivery.createdAt, now),
      delivery.deliveryId,
    ]),
  );
}

export function deliveryText(delivery: WebhookDelivery): string {
  const head = facts([
    ["delivery", delivery.deliveryId],
    ["endpoint", delivery.endpointId],
    ["event", `${delivery.eventType}, number ${delivery.sequence}`],
    ["webhook-id", delivery.eventId],
    ["status", WebhookDeliveryStatus[delivery.status] ?? ""],
    ["made", time(delivery.createdAt)],
    ["next attempt", time(delivery.nextAttemptAt)],
    ["repeats", delivery.replayOf],
    ["message", delivery.payload],
  ]);
  return (
    head + table([{ title: "ATTEMPT" }, { title: "TIME" }, ...ATTEMPT_COLUMNS], delivery.attempts.map(cells))
  );
}

const ATTEMPT_COLUMNS = [
  { title: "TOOK", right: true },
  { title: "ANSWER", right: true },
  { title: "WHAT WENT WRONG" },
];

function cells(attempt: WebhookAttempt): readonly string[] {
  const { failure, responseExcerpt } = attempt;
  return [
    attempt.number.toString(),
    time(attempt.startedAt),
    `${attempt.durationMs} ms`,
    attempt.responseStatus === 0 ? "-" : attempt.responseStatus.toString(),
    responseExcerpt === "" ? failure : `${failure} "${responseExcerpt}"`,
  ];
}
