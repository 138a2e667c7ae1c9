/** Every bound of the data path, with its reason. Milliseconds and bytes. */
export interface GatewayLimits {
  /** A long prompt with images by URL fits; more is a mistake or an attack. */
  readonly bodyMaxBytes: number;
  readonly headersMaxBytes: number;
  /** Replicas are near: a connect that takes longer will not come. */
  readonly connectMs: number;
  /** A full queue and a long prefill. */
  readonly firstByteMs: number;
  /** Between two bytes of an answer. */
  readonly idleMs: number;
  /** Of a whole request; money is reserved for as long. */
  readonly totalMs: number;
  /** A client that went away is read on for, so that the engine's own usage is had. */
  readonly hangUpMs: number;
  readonly hangUpTokens: number;
  readonly keyConcurrencyMax: number;
  /** Of one shared model in this gateway, when the catalogue says none. */
  readonly sharedConcurrencyMax: number;
  /** Waiting requests of one shared model; past it 429. */
  readonly sharedQueueMax: number;
  /** A look-up that takes longer counts as failed. */
  readonly lookupMs: number;
  /** How long after a failed reading the database is not asked again. */
  readonly rereadMs: number;
  /** A cached route or key older than this is read again in the background; one twice as old before it is used. */
  readonly freshMs: number;
  /** How long a known route or key serves when the database can't be asked. */
  readonly staleMs: number;
  /** Known routes and keys, and unknown ones; the least used go. */
  readonly cacheEntriesMax: number;
  /** Look-ups of unknown keys and models a second that may reach the database. */
  readonly unknownPerSecond: number;
  /** A slice that nobody spent from for so long goes back. */
  readonly sliceIdleMs: number;
  /** Usage is shipped this often, and at once when a batch is full. */
  readonly shipEveryMs: number;
  readonly shipBatchMax: number;
  /** Records that wait for the ledger; past it no more requests are taken on. */
  readonly unshippedMax: number;
  readonly idleConnectionsMax: number;
}

export const GATEWAY_LIMITS: GatewayLimits = {
  bodyMaxBytes: 16 * 2 ** 20,
  headersMaxBytes: 16 * 2 ** 10,
  connectMs: 2_000,
  firstByteMs: 300_000,
  idleMs: 120_000,
  totalMs: 600_000,
  hangUpMs: 1_000,
  hangUpTokens: 32,
  keyConcurrencyMax: 1_000,
  sharedConcurrencyMax: 256,
  sharedQueueMax: 1_024,
  lookupMs: 2_000,
  rereadMs: 500,
  freshMs: 5_000,
  staleMs: 300_000,
  cacheEntriesMax: 100_000,
  unknownPerSecond: 200,
  sliceIdleMs: 30_000,
  shipEveryMs: 200,
  shipBatchMax: 500,
  unshippedMax: 250_000,
  idleConnectionsMax: 512,
};
