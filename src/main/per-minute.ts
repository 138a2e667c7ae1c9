import type { RatePolicy } from "../rate-limit/index.ts";

const MINUTE_MS = 60_000;

/** Undefined for 0: no limit. */
export function perMinute(requestsMax: number): RatePolicy | undefined {
  return requestsMax === 0 ? undefined : { requestsMax, windowMs: MINUTE_MS };
}
