/** Every time and count that bounds a model's life. All are in milliseconds unless they say otherwise. */
export interface ModelLimits {
  /** Length of a prepaid window of GPU time. */
  readonly windowMs: number;
  /** Longest wait for running streams when a replica goes. */
  readonly drainMaxMs: number;
  /** Time after which every gateway has heard that a replica left routing. */
  readonly routePropagationMs: number;
  /** Time for unrouting and removing beyond the drain, inside paid time. */
  readonly drainMarginMs: number;
  /** How long before the last moment the next window is tried for: time for a warning and a top-up. */
  readonly holdAheadMs: number;
  /** Time between completion probes of a ready replica; charged time ends where two are more than 30 s apart. */
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
  /** Time to the next probe after a failed one. */
  readonly probeRetryMs: number;
  /** Refused or broken completions for so long make a replica unhealthy. */
  readonly unhealthyMs: number;
  /** Completions that time out for so long do, too: a busy engine is slow, not dead. */
  readonly unansweringMs: number;
  /** A ready replica is looked at by its driver this often; between, its completions speak for it. */
  readonly observeIntervalMs: number;
  /** An observation older than this says nothing. */
  readonly observationMaxAgeMs: number;
  readonly observeTimeoutMs: number;
  readonly applyTimeoutMs: number;
  readonly removeTimeoutMs: number;
  /** After an unclear create, nobody creates until the name has stayed absent for so long. */
  readonly unclearMs: number;
  /** An accepted create that shows nothing for so long has nothing. */
  readonly appearMs: number;
  /** Waiting for a place, over all attempts, from the wish to an engine that starts. */
  readonly pendingMs: number;
  /** Of one attempt, where its driver does not say how long its machines take. */
  readonly provisioningMs: number;
  /** Weights and engine, from the last sign of progress. */
  readonly loadingMs: number;
  readonly pausingMs: number;
  readonly deletingMs: number;
  /** Failures of a slot in a row before it is given up. */
  readonly failuresMax: number;
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
  /** Bounds of the time to the next attempt where there was no room. */
  readonly capacityRetryMs: number;
  readonly capacityRetryMaxMs: number;
  /** A given-up slot of a model that answers by its other slots is tried again this late. */
  readonly slowRetryMs: number;
  /** A replica that answered for so long starts its count of failures afresh. */
  readonly stableMs: number;
  /** A worker holds a model for at most so long; longer than any pass takes. */
  readonly leaseMs: number;
  /** A worker stops acting on a model this long before its lease ends. */
  readonly leaseMarginMs: number;
  /** First and last pace of looking at something that starts or goes. */
  readonly pollFirstMs: number;
  readonly pollMaxMs: number;
  /** Steady looks are moved to multiples of this, so that many models share one pass. */
  readonly batchStepMs: number;
  /** Models that one pass claims. */
  readonly claimMax: number;
  /** Models of a pass that are worked on at the same time. */
  readonly concurrencyMax: number;
  /** Machines younger than this are not swept. */
  readonly sweepAgeMs: number;
  /** A failed pass comes again this late. */
  readonly errorRetryMs: number;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

export const LIMITS: ModelLimits = {
  windowMs: 15 * MINUTE,
  drainMaxMs: 30 * SECOND,
  routePropagationMs: 2 * SECOND,
  drainMarginMs: MINUTE,
  holdAheadMs: MINUTE,
  probeIntervalMs: 20 * SECOND,
  probeTimeoutMs: 8 * SECOND,
  probeRetryMs: 2 * SECOND,
  unhealthyMs: 10 * SECOND,
  unansweringMs: 3 * MINUTE,
  observeIntervalMs: 40 * SECOND,
  observationMaxAgeMs: MINUTE,
  observeTimeoutMs: 10 * SECOND,
  applyTimeoutMs: 30 * SECOND,
  removeTimeoutMs: 30 * SECOND,
  unclearMs: 2 * MINUTE,
  appearMs: 2 * MINUTE,
  pendingMs: 60 * MINUTE,
  provisioningMs: 30 * MINUTE,
  loadingMs: 30 * MINUTE,
  pausingMs: 10 * MINUTE,
  deletingMs: 10 * MINUTE,
  failuresMax: 5,
  backoffFirstMs: SECOND,
  backoffMaxMs: MINUTE,
  capacityRetryMs: 15 * SECOND,
  capacityRetryMaxMs: 2 * MINUTE,
  slowRetryMs: 10 * MINUTE,
  stableMs: 10 * MINUTE,
  leaseMs: 2 * MINUTE,
  leaseMarginMs: 40 * SECOND,
  pollFirstMs: 250,
  pollMaxMs: 5 * SECOND,
  batchStepMs: 5 * SECOND,
  claimMax: 250,
  concurrencyMax: 32,
  sweepAgeMs: 10 * MINUTE,
  errorRetryMs: 10 * SECOND,
};

/** How long before the end of a window the next one must be held, or draining begins. */
export function holdLeadMs(limits: ModelLimits): number {
  return limits.drainMaxMs + limits.drainMarginMs;
}
