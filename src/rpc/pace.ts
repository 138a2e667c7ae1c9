/** Asks whether a caller may call now, and tells it how it stands. */
import { paceHeaders, paceWaitMs } from "../base/pace.ts";
import { StatusError } from "../base/status.ts";
import type { CallerKind, PaceCheck } from "./ports.ts";

/** The headers of an answer that is let through. Throws RATE_LIMITED with the same numbers. */
export function paced(
  check: PaceCheck | undefined,
  kind: CallerKind,
  id: string,
): Readonly<Record<string, string>> {
  const verdict = check?.(kind, id);
  if (!verdict) return {};
  if (verdict.allowed) return paceHeaders(kind, verdict);
  const { requestsMax, windowMs } = verdict.policy;
  throw new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "RATE_LIMITED",
    message: `This ${kind} may call ${requestsMax} times in ${windowMs / 1_000} seconds. Wait as Retry-After says, and call less often: a list or an event stream tells more than many single reads.`,
    metadata: { limitedBy: kind, requestsMax: String(requestsMax), windowSeconds: String(windowMs / 1_000) },
    retryAfterMs: paceWaitMs(verdict),
  });
}
