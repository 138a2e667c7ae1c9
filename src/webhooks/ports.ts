/** What this domain is given. */
import type { GuardedClient } from "../base/guarded-client.ts";
import type { SecretBox } from "../base/seal.ts";
import type { Steps } from "../base/steps.ts";

/** What an attempt came to; `given_up`: it failed, and was the last one. */
export type AttemptOutcome = "delivered" | "failed" | "given_up";

export interface WebhooksDeps {
  readonly box: SecretBox;
  /** The only way out: it judges every address at the moment of connecting. */
  readonly client: GuardedClient;
  readonly steps: Steps;
  /** Bound of one attempt; SEND_MS outside of tests. */
  readonly sendMs: number;
  /** Hears of each attempt that was written down, for metrics. */
  readonly onAttempt?: (outcome: AttemptOutcome) => void;
}

/** For name, connection, TLS and answer: a receiver answers first and works then. */
export const SEND_MS = 15_000;
