/** Types and pure rules of webhooks. */

/** Every type of event, as receivers see it. */
export const EVENT_TYPES = [
  "model.status_changed",
  "balance.low",
  "balance.runway_low",
  "credit.expiring",
  "credit.expired",
  "payment.failed",
  "payment.succeeded",
  "payment.refunded",
  "payment.refund_failed",
  "payment.disputed",
  "dispute.closed",
  "card.expiring",
  "card.expired",
  "storage.full",
  "ticket.changed",
  "webhook.ping",
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** Subscribes to every type, also to those that come later. */
export const EVERY_TYPE = "*";

export type DisabledReason = "ASKED" | "GONE" | "FAILING";
export type DeliveryStatus = "PENDING" | "DELIVERED" | "FAILED" | "CANCELLED";

export interface Endpoint {
  readonly id: string;
  readonly userId: string;
  readonly url: string;
  readonly description: string;
  /** Never empty. */
  readonly eventTypes: readonly string[];
  readonly disabled: { readonly reason: DisabledReason; readonly message: string; readonly at: Date } | null;
  /** Since when every attempt has failed; null while deliveries arrive. */
  readonly failingSince: Date | null;
  readonly lastDeliveredAt: Date | null;
  /** Until when messages are signed with the former secret too. */
  readonly formerSecretEndsAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The secrets of an endpoint as the database has them. */
export interface SealedSecrets {
  readonly secret: Buffer;
  readonly former: Buffer | null;
  readonly formerEndsAt: Date | null;
}

/** One attempt whose end is known; as jsonb it is the same with `startedAt` as text. */
export interface Attempt {
  readonly number: number;
  readonly startedAt: Date;
  readonly durationMs: number;
  /** 0 when no answer came. */
  readonly responseStatus: number;
  /** A public sentence; "" when the message arrived. */
  readonly failure: string;
  /** The beginning of a refusing answer. */
  readonly responseExcerpt: string;
}

export interface Delivery {
  readonly id: string;
  readonly endpointId: string;
  readonly userId: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly sequence: bigint;
  readonly payload: string;
  readonly status: DeliveryStatus;
  readonly attemptCount: number;
  readonly attemptsMax: number;
  readonly attempts: readonly Attempt[];
  readonly nextAttemptAt: Date | null;
  readonly replayOf: string | null;
  readonly createdAt: Date;
  readonly endedAt: Date | null;
}

/** What happened, in ids, states and amounts: no names, no texts of users, no secrets. */
export interface NewEvent {
  readonly userId: string;
  readonly type: EventType;
  readonly data: Readonly<Record<string, EventValue>>;
}
export type EventValue = string | number | { readonly [name: string]: EventValue };

/** Endpoints that one user may have. */
export const ENDPOINTS_MAX = 10;
/** Deliveries that may wait at one endpoint; what comes above it is written down as cancelled, and can be replayed. */
export const PENDING_MAX = 10_000;
/** Events and deliveries are kept so long, to be looked at and replayed. */
export const KEPT_MS = 30 * 24 * 3_600_000;

/** A ping is tried once: who sends one is looking. */
export const PING_ATTEMPTS = 1;
/** With the delays below: the first attempt, and eleven more over about 27 hours. */
export const ATTEMPTS_MAX = 12;
const DELAY_FIRST_MS = 10_000;
const DELAY_FACTOR = 3;
const DELAY_MAX_MS = 6 * 3_600_000;
/** The delay is drawn from this share around it, so that what failed together does not come back together. */
const JITTER = 0.25;

/**
 * How long to wait after so many attempts: 10 s, 30 s, 90 s … up to 6 h, a quarter more or less by `chance` (0 to 1), and
 * no shorter than the receiver asked for within those 6 h.
 */
export function retryDelayMs(attempts: number, chance: number, askedMs = 0): number {
  const plain = Math.min(DELAY_FIRST_MS * DELAY_FACTOR ** (attempts - 1), DELAY_MAX_MS);
  const drawn = plain * (1 - JITTER + 2 * JITTER * chance);
  return Math.round(Math.max(drawn, Math.min(askedMs, DELAY_MAX_MS)));
}
