import type { Reason } from "../base/status.ts";

/** These stay as they are until somebody changes the request or the machine; the rest may go better another time. */
const PERMANENT: ReadonlySet<Reason> = new Set([
  "WEIGHTS_NOT_FOUND",
  "WEIGHTS_GATED",
  "WEIGHTS_UNSUPPORTED",
  "WEIGHTS_PATH_REFUSED",
  "HUB_TOKEN_INVALID",
  "URL_REFUSED",
  "DISK_FULL",
  "MODEL_TOO_LARGE",
  "SPEC_VALUE_INVALID",
  "SPEC_KEY_UNKNOWN",
  "CONFIG_INVALID",
]);

/** Whether another attempt may succeed where one failed for this reason. */
export function isRetryable(reason: Reason): boolean {
  return !PERMANENT.has(reason);
}
