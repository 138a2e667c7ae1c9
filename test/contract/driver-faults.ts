/**
 * What may go wrong at a provider, by name. A driver's test says of each whether its provider can be made to do it, or why not; the
 * suite then proves the promise of each that can.
 */
import type { ReplicaSpec } from "../../src/providers/driver.ts";

/** Each fault with what it does from the moment at which it is injected until it is mended. */
export const FAULTS = {
  "lost reply": "a create has its effect, and its answer is lost",
  "accepted, then nothing": "a create is accepted, and no machine ever comes of it",
  "slow create": "a create is answered, or its machine comes, only once the fault is mended",
  "broken list": "a list of several parts breaks off before its last one",
  vanished: "the machine of the given replica is taken away behind the driver's back, once",
  "stale reads": "reads answer as they would have before the fault",
  "no capacity": "a create is refused for want of room",
  "no quota": "a create is refused for the account's quota",
  "credentials revoked": "every call is refused for its credentials",
  "rate limited": "every call is refused for coming too often",
  unreachable: "no call is answered",
} as const;

export type FaultName = keyof typeof FAULTS;

export interface Injected {
  /** A replica that meets the fault, where not every one does. */
  readonly spec?: ReplicaSpec;
  /** Words of the provider's own that must be told; absent: it says nothing. */
  readonly words?: RegExp;
  /** Ends the fault. */
  mend(): Promise<void>;
}

/** "injected", or why it can't be: a sentence that a reader can judge. */
export type FaultTable = Readonly<Record<FaultName, "injected" | { readonly cannot: string }>>;
